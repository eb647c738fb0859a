// The own account, what new networks start with, and what proves this backend to others.
import { Button, PasswordInput, Stack, Text } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { answeredIn } from '../../api/forms'
import { queries } from '../../api/queries'
import { session } from '../../api/session'
import { Facts, Section } from '../../ui/Facts'
import { Loaded } from '../../ui/Loaded'
import { Page } from '../../ui/Page'
import { Failed } from '../../ui/states'
import { texts } from '../../ui/texts'
import { federation } from '../federation/queries'
import { Certificates } from './Certificates'
import { useChangePassword } from './queries'
import { Templates } from './Templates'

const t = texts.settings

export function SettingsPage() {
  const me = useQuery(session).data
  const own = useQuery({ ...federation, enabled: me?.networks === null })
  return (
    <Page title={texts.pages.settings}>
      <Stack>
        <Account />
        {me?.networks === null && <Templates />}
        {own.data && <Certificates />}
      </Stack>
    </Page>
  )
}

function Account() {
  return (
    <Section title={t.account}>
      <Stack>
        <Loaded of={useQuery(session)} rows={1}>
          {(me) => (
            <Facts
              facts={[
                [texts.signIn.user, me.user?.name ?? me.actor],
                [texts.tokens.scopes, me.scopes.join(', ')],
              ]}
            />
          )}
        </Loaded>
        <Password />
      </Stack>
    </Section>
  )
}

function Password() {
  const change = useChangePassword()
  const navigate = useNavigate()
  const leave = () => {
    queries.clear()
    void navigate({ to: '/sign-in' })
  }
  const form = useForm({
    initialValues: { current_password: '', new_password: '', again: '' },
    validate: { again: (again, { new_password: wanted }) => (again === wanted ? null : t.differ) },
  })
  const submit = form.onSubmit(({ current_password, new_password }) =>
    change.mutate({ current_password, new_password }, answeredIn(form, leave)),
  )
  return (
    <form onSubmit={submit} noValidate>
      <Stack maw={420}>
        <Text size="sm">{t.passwordSays}</Text>
        <PasswordInput label={t.present} autoComplete="current-password" {...form.getInputProps('current_password')} />
        <PasswordInput label={t.new} autoComplete="new-password" {...form.getInputProps('new_password')} />
        <PasswordInput label={t.again} autoComplete="new-password" {...form.getInputProps('again')} />
        {change.error && <Failed error={change.error} />}
        <div>
          <Button type="submit" variant="default" loading={change.isPending}>
            {t.changePassword}
          </Button>
        </div>
      </Stack>
    </form>
  )
}
