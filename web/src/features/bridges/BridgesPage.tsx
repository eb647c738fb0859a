// All bridges, and whether anything may pass over each.
import { Button } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useInfiniteQuery } from '@tanstack/react-query'
import type { BridgeView } from '../../api/schema.gen'
import { Foreign } from '../../ui/Foreign'
import { Listed } from '../../ui/Listed'
import { Mark } from '../../ui/Mark'
import { Page } from '../../ui/Page'
import { Rows } from '../../ui/Rows'
import { texts } from '../../ui/texts'
import { To } from '../../ui/To'
import { When } from '../../ui/When'
import { ProposeBridge } from './forms'
import { bridges } from './queries'
import { lookOf, networksOf } from './state'

const t = texts.bridges

export function BridgesPage() {
  const [isOpen, form] = useDisclosure(false)
  return (
    <Page title={texts.pages.bridges} actions={<Button onClick={form.open}>{t.propose}</Button>}>
      <Listed of={useInfiniteQuery(bridges)} none={t.none}>
        {(items) => <BridgeTable bridges={items} />}
      </Listed>
      {isOpen && <ProposeBridge onClose={form.close} />}
    </Page>
  )
}

function BridgeTable({ bridges: items }: { bridges: readonly BridgeView[] }) {
  const rows = items.map((each) => {
    const { ours, theirs } = networksOf(each)
    return {
      key: each.id,
      cells: [
        <To key="bridge" to="/bridges/$bridgeId" params={{ bridgeId: each.id }} fw={600}>
          {ours} – <Foreign>{theirs}</Foreign>
        </To>,
        <To key="remote" to="/remotes/$domain" params={{ domain: each.remote }}>
          {each.remote}
        </To>,
        <Mark key="here" look={lookOf(each.state)} />,
        <Mark key="there" look={lookOf(each.state_there)} />,
        each.effective ? t.whatGrants : each.obstacles[0],
        <When key="changed" at={each.changed_at} />,
      ],
    }
  })
  return <Rows label={texts.pages.bridges} heads={[t.networks, t.remote, t.here, t.there, t.passes, t.changed]} rows={rows} minWidth={760} />
}
