// The fields that are the same for a new network and a present one.
import { NumberInput, Select, SimpleGrid, TagsInput, TextInput } from '@mantine/core'
import type { UseFormReturnType } from '@mantine/form'
import { texts } from '../../ui/texts'
import type { Settings } from './settings'

const t = texts.networks
const WAYS = ['auto', 'on', 'off'].map((value) => ({ value, label: value }))

export function SettingsFields({ form }: { form: UseFormReturnType<Settings> }) {
  return (
    <SimpleGrid cols={{ base: 1, xs: 2 }}>
      <TextInput label={t.domain} {...form.getInputProps('domain')} />
      <NumberInput label={t.mtu} min={1280} max={9000} {...form.getInputProps('mtu')} />
      <NumberInput label={t.port} min={1} max={65535} {...form.getInputProps('listen_port')} />
      <NumberInput label={t.keepalive} description={t.keepaliveHint} min={0} {...form.getInputProps('keepalive')} />
      <Select
        label={t.direct}
        description={t.directHint}
        data={WAYS}
        allowDeselect={false}
        {...form.getInputProps('direct_paths')}
      />
      <NumberInput label={t.keyAge} description={t.keyAgeHint} min={0} {...form.getInputProps('key_max_age')} />
      <TagsInput label={t.upstreams} description={t.upstreamsHint} {...form.getInputProps('dns_upstreams')} />
    </SimpleGrid>
  )
}
