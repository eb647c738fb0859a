// The fields that are the same for a new peer and a present one.
import { Checkbox, SimpleGrid, TagsInput, TextInput } from '@mantine/core'
import type { UseFormReturnType } from '@mantine/form'
import { useQuery } from '@tanstack/react-query'
import { texts } from '../../ui/texts'
import type { Settings } from './form'
import { groups } from './queries'

const t = texts.peers

export function PeerFields({ form }: { form: UseFormReturnType<Settings> }) {
  const known = [...new Set(useQuery(groups).data?.items.map((each) => each.name) ?? [])]
  return (
    <SimpleGrid cols={{ base: 1, xs: 2 }}>
      <TextInput label={t.owner} {...form.getInputProps('owner')} />
      <TagsInput label={t.groups} data={known} {...form.getInputProps('groups')} />
      <TagsInput label={t.labels} description={t.labelsHint} {...form.getInputProps('labels')} />
      <TagsInput label={t.subnets} description={t.subnetsHint} {...form.getInputProps('additional_allowed_ips')} />
      <Checkbox label={t.isolated} {...form.getInputProps('isolated', { type: 'checkbox' })} />
      <Checkbox label={t.full} {...form.getInputProps('full_encapsulation', { type: 'checkbox' })} />
    </SimpleGrid>
  )
}
