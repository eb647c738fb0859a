// The map with its tools: everything the mouse can do on it, keys and buttons can too.
import { ActionIcon, Box, Stack, Text, Tooltip, useComputedColorScheme } from '@mantine/core'
import { IconFocusCentered, IconMinus, IconPlus, type TablerIcon } from '@tabler/icons-react'
import { useEffect, useId, useMemo, useRef, type KeyboardEvent } from 'react'
import type { PeerState, TopologyView } from '../../api/schema.gen'
import { texts } from '../../ui/texts'
import { areMany, around, drawn, graphOf, standingOut } from './graph'
import { MapView } from './MapView'
import { saysOf } from './summary'
import classes from './TopologyMap.module.css'

const t = texts.topology
const STEP = 1.4

interface Props {
  of: TopologyView
  states: readonly PeerState[]
  /** Names and addresses with it stand out. */
  text: string
  chosen: string | null
  choose: (id: string | null) => void
}

export function TopologyMap({ of, states, text, chosen, choose }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const view = useRef<MapView>(null)
  const scheme = useComputedColorScheme('light', { getInitialValueInEffect: false })
  const graph = useMemo(() => graphOf(of), [of])
  const shown = useMemo(() => {
    const place = graph.spots.findIndex((each) => each.id === chosen)
    const index = place < 0 ? null : place
    const bright = standingOut(graph, states, text) ?? around(graph, index)
    return { graph, lines: drawn(graph.lines, index), bright, chosen: index, scheme }
  }, [graph, states, text, chosen, scheme])
  const pick = useRef<(index: number | null) => void>(() => undefined)
  useEffect(() => {
    pick.current = (index) => {
      const spot = index === null ? undefined : graph.spots[index]
      choose(spot === undefined || spot.kind === 'remote' ? null : spot.id)
    }
  }, [graph, choose])
  useEffect(() => {
    if (canvas.current === null) return
    const made = new MapView(canvas.current, (index) => pick.current(index))
    view.current = made
    return () => {
      made.close()
      view.current = null
    }
  }, [])
  useEffect(() => view.current?.show(shown), [shown])
  const keys = useId()
  const onKeyDown = (event: KeyboardEvent) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey && view.current?.key(event.key)) event.preventDefault()
  }
  return (
    <Stack gap={4}>
      <div className={classes['frame']}>
        <Box tabIndex={0} role="application" aria-label={saysOf(of)} aria-describedby={keys} onKeyDown={onKeyDown}>
          <canvas ref={canvas} className={classes['canvas']} />
        </Box>
        <Stack gap={4} className={classes['tools'] ?? ''}>
          <Tool label={t.zoomIn} icon={IconPlus} onClick={() => view.current?.zoomBy(STEP)} />
          <Tool label={t.zoomOut} icon={IconMinus} onClick={() => view.current?.zoomBy(1 / STEP)} />
          <Tool label={t.fit} icon={IconFocusCentered} onClick={() => view.current?.fit()} />
        </Stack>
      </div>
      <Text size="xs" c="dimmed" id={keys}>
        {areMany(graph.lines) ? `${t.keys} ${t.looseHidden}` : t.keys}
      </Text>
    </Stack>
  )
}

function Tool({ label, icon: Icon, onClick }: { label: string; icon: TablerIcon; onClick: () => void }) {
  return (
    <Tooltip label={label} position="left">
      <ActionIcon variant="default" size="lg" aria-label={label} onClick={onClick}>
        <Icon size={18} aria-hidden />
      </ActionIcon>
    </Tooltip>
  )
}
