// People of remotes, who may be seen from here: by handle, or by the beginning of a name.
import { Button, SimpleGrid, Text, TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { answeredIn } from '../../api/forms'
import { Section } from '../../ui/Facts'
import { Foreign } from '../../ui/Foreign'
import { Rows } from '../../ui/Rows'
import { Failed } from '../../ui/states'
import { texts } from '../../ui/texts'
import { useFind } from './queries'

const t = texts.people

export function Find() {
  const find = useFind()
  const form = useForm({ initialValues: { begins: '', domain: '' } })
  const submit = form.onSubmit((asked) => find.mutate(asked, answeredIn(form, () => undefined)))
  return (
    <Section title={t.lookup}>
      <form onSubmit={submit} noValidate>
        <SimpleGrid cols={{ base: 1, xs: 3 }} style={{ alignItems: 'end' }}>
          <TextInput label={t.begins} description={t.lookupHint} {...form.getInputProps('begins')} />
          <TextInput label={t.domain} {...form.getInputProps('domain')} />
          <Button type="submit" variant="default" loading={find.isPending}>
            {t.find}
          </Button>
        </SimpleGrid>
      </form>
      {find.error && <Failed error={find.error} />}
      {find.data?.length === 0 && <Text size="sm">{t.nobody}</Text>}
      {find.data && find.data.length > 0 && (
        <Rows
          label={t.found}
          heads={[t.handle, t.name]}
          minWidth={320}
          rows={find.data.map((each) => ({
            key: each.id,
            cells: [`${each.handle}@${each.domain}`, <Foreign key="name">{each.display_name}</Foreign>],
          }))}
        />
      )}
    </Section>
  )
}
