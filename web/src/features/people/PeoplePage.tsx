// The people of this backend, to whom remotes grant, and a look at those of remotes.
import { Button, Group, Stack } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useInfiniteQuery } from '@tanstack/react-query'
import type { DirectoryUserView } from '../../api/schema.gen'
import { Ask } from '../../ui/Ask'
import { Foreign } from '../../ui/Foreign'
import { Listed } from '../../ui/Listed'
import { Page } from '../../ui/Page'
import { Rows } from '../../ui/Rows'
import { texts } from '../../ui/texts'
import { When } from '../../ui/When'
import { Find } from './Find'
import { ChangePerson, CreatePerson } from './forms'
import { people, useDeletePerson } from './queries'

const t = texts.people

export function PeoplePage() {
  const [isOpen, form] = useDisclosure(false)
  return (
    <Page title={texts.pages.people} actions={<Button onClick={form.open}>{t.create}</Button>}>
      <Stack>
        <Listed of={useInfiniteQuery(people)} none={t.none}>
          {(items) => <PeopleTable people={items} />}
        </Listed>
        <Find />
      </Stack>
      {isOpen && <CreatePerson onClose={form.close} />}
    </Page>
  )
}

const overridesOf = ({ overrides }: DirectoryUserView) =>
  Object.entries(overrides).map(([remote, visibility]) => `${remote}: ${t.visibilities[visibility]}`)

function PeopleTable({ people: items }: { people: readonly DirectoryUserView[] }) {
  const rows = items.map((each) => ({
    key: each.id,
    cells: [
      each.handle,
      each.display_name && <Foreign key="name">{each.display_name}</Foreign>,
      t.visibilities[each.visibility],
      overridesOf(each).join(', ') || t.noOverrides,
      <When key="created" at={each.created_at} />,
      <Actions key="actions" of={each} />,
    ],
  }))
  return <Rows label={texts.pages.people} heads={[t.handle, t.name, t.visibility, t.overrides, t.created, t.change]} rows={rows} minWidth={820} />
}

function Actions({ of: person }: { of: DirectoryUserView }) {
  const [isOpen, form] = useDisclosure(false)
  return (
    <Group gap="xs" wrap="nowrap">
      <Button variant="default" onClick={form.open}>
        {t.change}
      </Button>
      <Ask label={t.remove} title={`${t.remove}: ${person.handle}`} move={useDeletePerson(person.id)} given={undefined}>
        {t.removeSays}
      </Ask>
      {isOpen && <ChangePerson of={person} onClose={form.close} />}
    </Group>
  )
}
