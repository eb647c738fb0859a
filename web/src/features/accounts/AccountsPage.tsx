// Who may sign in here, with which role, for which networks.
import { Button, Group, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import type { AccountView, WelcomeView } from '../../api/schema.gen'
import { Ask } from '../../ui/Ask'
import { Foreign } from '../../ui/Foreign'
import { Listed } from '../../ui/Listed'
import { Page } from '../../ui/Page'
import { Rows } from '../../ui/Rows'
import { texts } from '../../ui/texts'
import { When } from '../../ui/When'
import { networks } from '../networks/queries'
import { ChangeAccount, CreateAccount, isOfNetworks, Welcome } from './forms'
import { accounts, useChangeAccount, useDeleteAccount, useNewPassword } from './queries'

const t = texts.accounts
const HEADS = [t.name, t.role, t.networks, t.state, t.created, t.change]

export function AccountsPage() {
  const [isOpen, form] = useDisclosure(false)
  const [made, setMade] = useState<WelcomeView | null>(null)
  const welcome = (given: WelcomeView) => {
    form.close()
    setMade(given)
  }
  return (
    <Page title={texts.pages.accounts} actions={<Button onClick={form.open}>{t.create}</Button>}>
      <Listed of={useInfiniteQuery(accounts)} none={t.none}>
        {(items) => <AccountTable accounts={items} onMade={setMade} />}
      </Listed>
      {isOpen && <CreateAccount onClose={form.close} onMade={welcome} />}
      {made !== null && <Welcome made={made} onClose={() => setMade(null)} />}
    </Page>
  )
}

interface TableProps {
  accounts: readonly AccountView[]
  onMade: (made: WelcomeView) => void
}

function AccountTable({ accounts: items, onMade }: TableProps) {
  const known = useQuery(networks)
  const nameOf = (id: string) => known.data?.items.find((each) => each.id === id)?.name ?? id
  const rows = items.map((each) => ({
    key: each.id,
    cells: [
      <Who key="name" of={each} />,
      t.roles[each.role],
      isOfNetworks(each.role) ? each.networks.map(nameOf).join(', ') || t.noNetworks : t.everywhere,
      each.disabled_at === null ? t.active : t.disabled,
      <When key="created" at={each.created_at} />,
      <Actions key="actions" of={each} onMade={onMade} />,
    ],
  }))
  return <Rows label={texts.pages.accounts} heads={HEADS} rows={rows} minWidth={980} />
}

/** The name, and who it is by the word of the identity provider. */
function Who({ of: { name, identity } }: { of: AccountView }) {
  return (
    <>
      <Foreign>{name}</Foreign>
      {identity !== null && (
        <Text size="xs" c="dimmed">
          <Foreign>{`${identity.subject} (${identity.issuer})`}</Foreign>
        </Text>
      )}
    </>
  )
}

function Actions({ of: account, onMade }: { of: AccountView; onMade: (made: WelcomeView) => void }) {
  const [isOpen, form] = useDisclosure(false)
  const change = useChangeAccount(account)
  const newPassword = useNewPassword(account.id)
  return (
    <Group gap="xs" wrap="nowrap">
      <Button variant="default" onClick={form.open}>
        {t.change}
      </Button>
      {account.identity === null && (
        <Ask label={t.newPassword} title={`${t.newPassword}: ${account.name}`} move={newPassword} given={undefined} done={onMade}>
          {t.newPasswordSays}
        </Ask>
      )}
      {account.disabled_at === null ? (
        <Ask label={t.disable} title={`${t.disable}: ${account.name}`} move={change} given={{ disabled: true }}>
          {t.disableSays}
        </Ask>
      ) : (
        <Button variant="default" loading={change.isPending} onClick={() => change.mutate({ disabled: false })}>
          {t.enable}
        </Button>
      )}
      <Ask label={t.remove} title={`${t.remove}: ${account.name}`} move={useDeleteAccount(account.id)} given={undefined}>
        {t.removeSays}
      </Ask>
      {isOpen && <ChangeAccount of={account} onClose={form.close} />}
    </Group>
  )
}
