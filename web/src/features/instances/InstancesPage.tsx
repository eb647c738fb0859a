// Our processes that call remotes, each under a certificate of its own.
import { Button, Checkbox, Code, Group } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { IconBan, IconCircleCheck, IconClock } from '@tabler/icons-react'
import { useInfiniteQuery } from '@tanstack/react-query'
import { useState } from 'react'
import type { InstanceView } from '../../api/schema.gen'
import { AskReason } from '../../ui/AskReason'
import { Foreign } from '../../ui/Foreign'
import { Listed } from '../../ui/Listed'
import { Mark, type Look } from '../../ui/Mark'
import { Page } from '../../ui/Page'
import { Rows } from '../../ui/Rows'
import { texts } from '../../ui/texts'
import { To } from '../../ui/To'
import { When } from '../../ui/When'
import { Issue, Renew } from './forms'
import { instances, useRevoke } from './queries'

const t = texts.instances

export function InstancesPage() {
  const [isAll, setAll] = useState(false)
  const [isOpen, form] = useDisclosure(false)
  return (
    <Page
      title={texts.pages.instances}
      actions={
        <Group>
          <Checkbox label={t.showRevoked} checked={isAll} onChange={(event) => setAll(event.currentTarget.checked)} />
          <Button onClick={form.open}>{t.issue}</Button>
        </Group>
      }
    >
      <Listed of={useInfiniteQuery(instances(isAll))} none={t.none}>
        {(items) => <InstanceTable instances={items} />}
      </Listed>
      {isOpen && <Issue onClose={form.close} />}
    </Page>
  )
}

function lookOf({ revoked_at: revokedAt, leaf }: InstanceView): Look {
  if (revokedAt) return { color: 'red', icon: IconBan, label: t.revoked }
  return leaf ? { color: 'teal', icon: IconCircleCheck, label: t.valid } : { color: 'yellow', icon: IconClock, label: t.waiting }
}

function InstanceTable({ instances: items }: { instances: readonly InstanceView[] }) {
  const rows = items.map((each) => ({
    key: each.id,
    cells: [
      each.name,
      <Mark key="state" look={lookOf(each)} />,
      <Code key="id">{each.id}</Code>,
      each.peer && (
        <To key="peer" to="/peers/$peerId" params={{ peerId: each.peer.id }}>
          {each.peer.name}
        </To>
      ),
      t.makers[each.made_by],
      each.leaf && <When key="leaf" at={each.leaf.ends_at} />,
      each.revoked_at ? <Foreign key="reason">{each.reason}</Foreign> : each.made_by !== 'backend' && <Actions key="actions" of={each} />,
    ],
  }))
  return <Rows label={texts.pages.instances} heads={[t.name, t.state, t.id, t.peer, t.made, t.leaf, t.revoke]} rows={rows} minWidth={860} />
}

function Actions({ of: { id, name } }: { of: InstanceView }) {
  const [isOpen, form] = useDisclosure(false)
  return (
    <Group gap="xs" wrap="nowrap">
      <Button variant="default" onClick={form.open}>
        {t.renew}
      </Button>
      <AskReason label={t.revoke} title={`${t.revoke}: ${name}`} move={useRevoke(id)} isRequired>
        {t.revokeSays}
      </AskReason>
      {isOpen && <Renew id={id} name={name} onClose={form.close} />}
    </Group>
  )
}
