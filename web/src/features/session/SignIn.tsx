// The page that lets people in.
import { Button, Center, Paper, PasswordInput, Stack, Text, TextInput, Title } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useSignIn } from '../../api/session'
import { Failed } from '../../ui/states'
import { texts } from '../../ui/texts'

const t = texts.signIn

export function SignIn({ onDone }: { onDone: () => void }) {
  const signIn = useSignIn()
  const form = useForm({ initialValues: { username: 'admin', password: '' } })
  return (
    <Center mih="100vh" p="md" component="main">
      <Paper withBorder p="xl" w={380} maw="100%">
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
            <Text size="xs" c="dimmed">
              {t.lost}
            </Text>
          </Stack>
        </form>
      </Paper>
    </Center>
  )
}
