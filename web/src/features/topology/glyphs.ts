// How spots and lines look: each state has a shape and a colour of its own, so that neither is needed alone. Pure.
import type { PeerState } from '../../api/schema.gen'
import type { BridgeLook, Kind, LineKind } from './graph'

export type Scheme = 'light' | 'dark'
type Shades = Record<Scheme, string>

/** Paths in a box from -1 to 1: `filled` is filled, `lined` is drawn as a line. */
export interface Glyph {
  filled?: string
  lined?: string
  color: Shades
}

const DISC = 'M-1 0A1 1 0 1 1 1 0A1 1 0 1 1 -1 0Z'
const HALF = 'M-1 0A1 1 0 1 0 1 0Z'
const DIAMOND = 'M0 -1.1L1.1 0L0 1.1L-1.1 0Z'
const TRIANGLE = 'M0 -1.1L1.1 0.9L-1.1 0.9Z'
const BOX = 'M-0.85 -0.85H0.85V0.85H-0.85Z'
const CROSS = 'M-0.9 -0.9L0.9 0.9M0.9 -0.9L-0.9 0.9'
const BARS = 'M-0.5 -0.9V0.9M0.5 -0.9V0.9'
const BAR = 'M-0.45 0H0.45'

const TEAL: Shades = { light: '#087f5b', dark: '#38d9a9' }
const YELLOW: Shades = { light: '#a86200', dark: '#ffd43b' }
const GRAY: Shades = { light: '#6c757d', dark: '#adb5bd' }
const RED: Shades = { light: '#c92a2a', dark: '#ff8787' }
const BLUE: Shades = { light: '#1864ab', dark: '#74c0fc' }
const ORANGE: Shades = { light: '#c2410c', dark: '#ffa94d' }

export const GLYPHS: Record<PeerState | BridgeLook, Glyph> = {
  online: { filled: DISC, color: TEAL },
  stale: { filled: HALF, lined: DISC, color: YELLOW },
  offline: { lined: DISC, color: GRAY },
  unknown: { lined: BOX, color: GRAY },
  pending: { lined: DIAMOND, color: BLUE },
  expired: { filled: DIAMOND, color: ORANGE },
  failed: { filled: TRIANGLE, color: RED },
  blocked: { lined: CROSS, color: RED },
  up: { filled: DISC, color: TEAL },
  down: { filled: HALF, lined: DISC, color: RED },
  proposed: { lined: DIAMOND, color: BLUE },
  suspended: { lined: BARS, color: ORANGE },
  shut: { lined: `${DISC}${BAR}`, color: GRAY },
}

/** The frame around a glyph, in the same box but larger; most kinds have none. */
export const FRAMES: Partial<Record<Kind, string>> = {
  jump: 'M-1.9 0L-0.95 -1.65H0.95L1.9 0L0.95 1.65H-0.95Z',
  remote: 'M-1.7 -1.7H1.7V1.7H-1.7Z',
}

/** The radius of the glyph, as a share of that of a peer with an agent. */
export const SCALES: Record<Kind, number> = { jump: 1.15, dynamic: 1, static: 0.7, remote: 1.15 }

export interface Stroke {
  color: Shades
  width: number
  dash: readonly number[]
}

const FAINT: Shades = { light: '#adb5bd', dark: '#5c636a' }

export const STROKES: Record<LineKind, Stroke> = {
  spoke: { color: { light: '#868e96', dark: '#868e96' }, width: 1, dash: [] },
  standby: { color: FAINT, width: 1, dash: [2, 6] },
  direct: { color: TEAL, width: 2, dash: [] },
  relayed: { color: ORANGE, width: 1.25, dash: [7, 5] },
  unknown: { color: GRAY, width: 1, dash: [2, 4] },
  bridge: { color: BLUE, width: 3, dash: [] },
}
/** A bridge that nothing passes. */
export const CUT: readonly number[] = [10, 6]

/** Text on the map, and the ground behind it. */
export const INK: Shades = { light: '#212529', dark: '#e9ecef' }
export const GROUND: Shades = { light: '#ffffff', dark: '#242424' }
