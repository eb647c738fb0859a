// What narrows the list of peers. The server does the finding.
import { Checkbox, Group, Select, TextInput } from '@mantine/core'
import { useDebouncedCallback } from '@mantine/hooks'
import { IconSearch } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { texts } from '../../ui/texts'
import { networks } from '../networks/queries'
import { filtersIn, type Filters } from './filters'
import { groups } from './queries'

const t = texts.peers
const PAUSE = 250
const KINDS = (['jump', 'dynamic', 'static'] as const).map((value) => ({ value, label: t.kinds[value] }))
const ENROLLED = [
  { value: 'true', label: t.onlyEnrolled },
  { value: 'false', label: t.notEnrolled },
]

interface Props {
  filters: Filters
  onChange: (next: Filters) => void
}

export function PeerFilters({ filters, onChange }: Props) {
  const known = useQuery(networks).data?.items ?? []
  const named = [...new Set(useQuery(groups).data?.items.map((each) => each.name) ?? [])]
  const set = (part: Record<string, unknown>) => onChange(filtersIn({ ...filters, ...part }))
  return (
    <Group gap="sm" align="end" role="search">
      <Typed label={t.search} value={filters.search} onChange={(search) => set({ search })} />
      <Select
        aria-label={t.network}
        placeholder={t.anyNetwork}
        clearable
        w={170}
        data={known.map((each) => ({ value: each.id, label: each.name }))}
        value={filters.network ?? null}
        onChange={(network) => set({ network })}
      />
      <Select
        aria-label={t.kind}
        placeholder={t.anyKind}
        clearable
        w={130}
        data={KINDS}
        value={filters.kind ?? null}
        onChange={(kind) => set({ kind })}
      />
      <Select
        aria-label={t.enrolled}
        placeholder={t.anyEnrolled}
        clearable
        w={170}
        data={ENROLLED}
        value={filters.enrolled === undefined ? null : String(filters.enrolled)}
        onChange={(value) => set({ enrolled: value === null ? undefined : value === 'true' })}
      />
      {named.length > 0 && (
        <Select
          aria-label={t.group}
          placeholder={t.group}
          clearable
          w={140}
          data={named}
          value={filters.group ?? null}
          onChange={(group) => set({ group })}
        />
      )}
      <Typed label={t.label} value={filters.label} onChange={(label) => set({ label })} />
      <Checkbox
        label={t.blockedOnly}
        checked={filters.blocked ?? false}
        onChange={(event) => set({ blocked: event.currentTarget.checked || undefined })}
        py={8}
      />
    </Group>
  )
}

interface TypedProps {
  label: string
  value: string | undefined
  onChange: (value: string) => void
}

/** Text that counts once the typing pauses. */
function Typed({ label, value, onChange }: TypedProps) {
  const [text, setText] = useState(value ?? '')
  const pause = useDebouncedCallback(onChange, PAUSE)
  return (
    <TextInput
      aria-label={label}
      placeholder={label}
      w={180}
      leftSection={<IconSearch size={16} aria-hidden />}
      value={text}
      onChange={(event) => {
        setText(event.currentTarget.value)
        pause(event.currentTarget.value)
      }}
    />
  )
}
