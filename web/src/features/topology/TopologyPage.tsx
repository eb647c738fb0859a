// The live map of a network: who is there, and over which ways they reach each other.
import { Box, Flex, Group, SegmentedControl, Select, Stack, Text } from '@mantine/core'
import { IconSearch } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { useCallback, useMemo, useState } from 'react'
import type { NetworkView, TopologyView } from '../../api/schema.gen'
import { Loaded } from '../../ui/Loaded'
import { Page } from '../../ui/Page'
import { Empty } from '../../ui/states'
import { texts } from '../../ui/texts'
import { networks } from '../networks/queries'
import { Chosen } from './Chosen'
import { Legend, StateFilter } from './Legend'
import { lookIn, statesIn, toggled, type Look } from './look'
import { topology } from './queries'
import { fitting, leftOut, saysOf } from './summary'
import { TopologyMap } from './TopologyMap'
import { TopologyTables } from './TopologyTables'

const t = texts.topology
const OPTIONS = 20
const SHOW = [
  { value: 'map', label: t.map },
  { value: 'table', label: t.table },
]

export function TopologyPage() {
  return (
    <Page title={texts.pages.topology}>
      <Loaded of={useQuery(networks)}>
        {({ items }) => (items.length === 0 ? <Empty>{t.none}</Empty> : <Topology networks={items} />)}
      </Loaded>
    </Page>
  )
}

function useLook(): [Look, (next: Look) => void] {
  const given = useSearch({ strict: false })
  const look = useMemo(() => lookIn(given), [given])
  const navigate = useNavigate()
  const set = useCallback((next: Look) => void navigate({ to: '/topology', search: next, replace: true }), [navigate])
  return [look, set]
}

function Topology({ networks: items }: { networks: readonly NetworkView[] }) {
  const [look, set] = useLook()
  const network = items.find((each) => each.id === look.network) ?? items[0]
  return (
    <Stack>
      <Group gap="sm" align="end">
        <Select
          label={texts.peers.network}
          w={200}
          allowDeselect={false}
          data={items.map((each) => ({ value: each.id, label: each.name }))}
          value={network?.id ?? null}
          onChange={(id) => set(lookIn({ ...look, network: id, peer: null }))}
        />
        <SegmentedControl
          aria-label={t.show}
          data={SHOW}
          value={look.show ?? 'map'}
          onChange={(show) => set(lookIn({ ...look, show }))}
        />
      </Group>
      {network && <OfNetwork key={network.id} id={network.id} look={look} set={set} />}
    </Stack>
  )
}

interface LookProps {
  look: Look
  set: (next: Look) => void
}

function OfNetwork({ id, ...given }: LookProps & { id: string }) {
  return (
    <Loaded of={useQuery(topology(id))} rows={8}>
      {(found) => (found.nodes.length === 0 ? <Empty>{t.empty}</Empty> : <Found of={found} {...given} />)}
    </Loaded>
  )
}

function Found({ of, look, set }: LookProps & { of: TopologyView }) {
  const [text, setText] = useState('')
  const states = useMemo(() => statesIn(look), [look])
  const peer = of.nodes.find((each) => each.id === look.peer)
  const choose = useCallback((id: string | null) => set(lookIn({ ...look, peer: id })), [look, set])
  // A name that was chosen stands in the field, and seeks nothing more.
  const sought = peer !== undefined && text === peer.name ? '' : text
  const given = { of, states, text: sought, chosen: peer?.id ?? null, choose }
  return (
    <Stack gap="sm">
      <Group gap="sm">
        <Finder of={of} value={peer?.id ?? null} choose={choose} text={text} setText={setText} />
        <StateFilter of={of} states={states} toggle={(state) => set(toggled(look, state))} />
      </Group>
      <Text size="sm" role="status" className="numbers">
        {[saysOf(of), ...leftOut(of)].join(' · ')}
      </Text>
      <Flex gap="md" direction={{ base: 'column', md: 'row' }} align="stretch">
        <Box flex={1} miw={0}>
          {look.show === 'table' ? (
            <Stack>
              <TopologyTables {...given} />
            </Stack>
          ) : (
            <Stack gap="xs">
              <TopologyMap {...given} />
              <Legend of={of} />
            </Stack>
          )}
        </Box>
        {peer && (
          <Box w={{ base: '100%', md: 320 }} flex="none">
            <Chosen key={peer.id} of={of} peer={peer} letGo={() => choose(null)} />
          </Box>
        )}
      </Flex>
    </Stack>
  )
}

interface FinderProps {
  of: TopologyView
  value: string | null
  choose: (id: string | null) => void
  text: string
  setText: (text: string) => void
}

function Finder({ of, value, choose, text, setText }: FinderProps) {
  const chosen = of.nodes.find((each) => each.id === value)
  const found = text === chosen?.name ? of.nodes : fitting(of.nodes, [], text)
  const offered = new Map([...(chosen ? [chosen] : []), ...found.slice(0, OPTIONS)].map((each) => [each.id, each]))
  return (
    <Select
      aria-label={t.find}
      placeholder={t.find}
      w={220}
      searchable
      clearable
      selectFirstOptionOnChange
      leftSection={<IconSearch size={16} aria-hidden />}
      nothingFoundMessage={t.noMatch}
      data={[...offered.values()].map((each) => ({ value: each.id, label: each.name }))}
      filter={({ options }) => options}
      value={value}
      onChange={choose}
      searchValue={text}
      onSearchChange={setText}
    />
  )
}
