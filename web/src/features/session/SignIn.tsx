// The page that lets people in.
import { Anchor, Button, PasswordInput, Stack, Text, TextInput, Title } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { provider, setup, useSignIn, useStartSignIn } from '../../api/session'
import { Foreign } from '../../ui/Foreign'
import { Failed } from '../../ui/states'
import { texts } from '../../ui/texts'
import { Door } from './Door'

const t = texts.signIn

export function SignIn({ onDone }: { onDone: () => void }) {
  const signIn = useSignIn()
  const isNew = useQuery(setup).isSuccess
  const form = useForm({ initialValues: { username: 'admin', password: '' } })
  return (
    <Door>
        <form onSubmit={form.onSubmit((values) => signIn.mutate(values, { onSuccess: onDone }))}>
          <Stack>
            <Title order={1} size="h3">
              {texts.app.name}
            </Title>
            {signIn.error && <Failed error={signIn.error} />}
            <TextInput label={t.user} autoComplete="username" {...form.getInputProps('username')} />
            <PasswordInput label={t.password} autoComplete="current-password" {...form.getInputProps('password')} />
            <Button type="submit" loading={signIn.isPending}>
              {t.submit}
            </Button>
            <Elsewhere />
            {isNew && (
              <Anchor component={Link} to="/setup" size="sm">
                {texts.setup.first}
              </Anchor>
            )}
            <Text size="xs" c="dimmed">
              {t.lost}
            </Text>
          </Stack>
        </form>
    </Door>
  )
}

/** The way over the identity provider, where this backend has one. */
function Elsewhere() {
  const { data } = useQuery(provider)
  const start = useStartSignIn()
  if (data === undefined) return null
  return (
    <>
      {start.error && <Failed error={start.error} />}
      <Button variant="default" loading={start.isPending} onClick={() => start.mutate()}>
        <Foreign>{t.with(data.name)}</Foreign>
      </Button>
    </>
  )
}
