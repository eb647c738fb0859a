// The page that makes the account of the first start somebody's own, once.
import { Button, PasswordInput, Stack, Text, TextInput, Title } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useQuery } from '@tanstack/react-query'
import { answeredIn } from '../../api/forms'
import { setup, useSetUp, useSignIn } from '../../api/session'
import { Loaded } from '../../ui/Loaded'
import { Failed } from '../../ui/states'
import { texts } from '../../ui/texts'
import { Door } from './Door'

const t = texts.setup

export function Setup({ onDone }: { onDone: () => void }) {
  return (
    <Door>
      <Title order={1} size="h3">
        {t.title}
      </Title>
      <Loaded of={useQuery(setup)} rows={3}>
        {({ username }) => <Own username={username} onDone={onDone} />}
      </Loaded>
    </Door>
  )
}

function Own({ username, onDone }: { username: string; onDone: () => void }) {
  const setUp = useSetUp()
  const signIn = useSignIn()
  const form = useForm({
    initialValues: { password: '', username, new_password: '', again: '' },
    validate: { again: (again, { new_password: wanted }) => (again === wanted ? null : texts.settings.differ) },
  })
  const submit = form.onSubmit(({ password, username: name, new_password }) => {
    const body = { password, username: name, new_password }
    const enter = () => signIn.mutate({ username: body.username, password: body.new_password }, { onSuccess: onDone })
    setUp.mutate(body, answeredIn(form, enter))
  })
  const error = setUp.error ?? signIn.error
  return (
    <form onSubmit={submit} noValidate>
      <Stack>
        <Text size="sm">{t.says}</Text>
        {error && <Failed error={error} />}
        <PasswordInput label={t.shown} autoComplete="off" {...form.getInputProps('password')} />
        <TextInput label={texts.signIn.user} autoComplete="username" {...form.getInputProps('username')} />
        <PasswordInput label={texts.settings.new} autoComplete="new-password" {...form.getInputProps('new_password')} />
        <PasswordInput label={texts.settings.again} autoComplete="new-password" {...form.getInputProps('again')} />
        <Button type="submit" loading={setUp.isPending || signIn.isPending}>
          {t.submit}
        </Button>
      </Stack>
    </form>
  )
}
