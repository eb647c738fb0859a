// What shapes and lines mean; the states are counted, and narrow the map to those that are chosen.
import { Chip, Group, Stack, Text, useComputedColorScheme } from '@mantine/core'
import type { ReactNode } from 'react'
import type { PeerState, TopologyView } from '../../api/schema.gen'
import { texts } from '../../ui/texts'
import { count } from '../../ui/time'
import { tally } from '../dashboard/counts'
import { bridgeLook, graphOf, type BridgeLook, type Kind, type LineKind } from './graph'
import { CUT, FRAMES, GLYPHS, SCALES, STROKES } from './glyphs'
import { STATES } from './look'
import classes from './TopologyMap.module.css'

const t = texts.topology
const LINES: readonly LineKind[] = ['spoke', 'standby', 'direct', 'relayed', 'unknown', 'bridge']
const KINDS: readonly Kind[] = ['jump', 'dynamic', 'static']
const BRIDGES: readonly BridgeLook[] = ['up', 'down', 'proposed', 'suspended', 'shut']

export function Glyph({ look, kind = 'dynamic' }: { look: PeerState | BridgeLook; kind?: Kind }) {
  const scheme = useComputedColorScheme('light', { getInitialValueInEffect: false })
  const { filled, lined, color } = GLYPHS[look]
  const frame = FRAMES[kind]
  return (
    <svg width={22} height={22} viewBox="-2.4 -2.4 4.8 4.8" aria-hidden className={classes['sample']}>
      <g transform={`scale(${SCALES[kind]})`} stroke={color[scheme]} fill="none" strokeWidth={0.36}>
        {frame && <path d={frame} />}
        {filled && <path d={filled} fill={color[scheme]} stroke="none" />}
        {lined && <path d={lined} />}
      </g>
    </svg>
  )
}

function Sample({ kind, isCut = false }: { kind: LineKind; isCut?: boolean }) {
  const scheme = useComputedColorScheme('light', { getInitialValueInEffect: false })
  const { color, width, dash } = STROKES[kind]
  return (
    <svg width={30} height={10} viewBox="0 0 30 10" aria-hidden className={classes['sample']}>
      <path d="M0 5H30" stroke={color[scheme]} strokeWidth={width} strokeDasharray={(isCut ? CUT : dash).join(' ')} />
    </svg>
  )
}

interface Props {
  of: TopologyView
  states: readonly PeerState[]
  toggle: (state: PeerState) => void
}

export function StateFilter({ of, states, toggle }: Props) {
  const counted = new Map(tally(of.nodes, STATES, (each) => each.state))
  return (
    <Group gap="xs" role="group" aria-label={t.states}>
      {STATES.filter((each) => counted.has(each) || states.includes(each)).map((each) => (
        <Chip key={each} size="sm" variant="outline" checked={states.includes(each)} onChange={() => toggle(each)}>
          <Group gap={4} wrap="nowrap" component="span">
            <Glyph look={each} />
            {`${texts.peers.states[each]} ${count(counted.get(each) ?? 0)}`}
          </Group>
        </Chip>
      ))}
    </Group>
  )
}

/** The frames and lines that are on this map. */
export function Legend({ of }: { of: TopologyView }) {
  const { spots, lines } = graphOf(of)
  const kinds = KINDS.filter((kind) => spots.some((each) => each.kind === kind))
  const drawn = LINES.filter((kind) => lines.some((each) => each.kind === kind))
  const bridges = BRIDGES.filter((look) => of.bridges.some((each) => bridgeLook(each) === look))
  return (
    <Stack gap={6}>
      <Row title={t.kinds}>
        {kinds.map((kind) => (
          <Item key={kind} sample={<Glyph kind={kind} look="online" />} label={t.kind[kind]} />
        ))}
        {bridges.map((look) => (
          <Item key={look} sample={<Glyph kind="remote" look={look} />} label={`${t.kind.remote}: ${t.bridge[look].toLowerCase()}`} />
        ))}
      </Row>
      {drawn.length > 0 && (
        <Row title={t.ways}>
          {drawn.map((kind) => (
            <Item key={kind} sample={<Sample kind={kind} />} label={t.way[kind]} />
          ))}
          {bridges.some((look) => look !== 'up') && <Item sample={<Sample kind="bridge" isCut />} label={t.nothingPasses} />}
        </Row>
      )}
    </Stack>
  )
}

function Row({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Group gap="sm">
      <Text size="xs" c="dimmed">
        {title}
      </Text>
      {children}
    </Group>
  )
}

function Item({ sample, label }: { sample: ReactNode; label: string }) {
  return (
    <Group gap={6} wrap="nowrap">
      {sample}
      <Text size="xs">{label}</Text>
    </Group>
  )
}
