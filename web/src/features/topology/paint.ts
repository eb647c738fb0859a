// Draws a scene on a canvas: lines by kind at once, glyphs from small pictures that are made once, names where there is room.
import type { Graph, Line, Spot } from './graph'
import { CUT, FRAMES, GLYPHS, GROUND, INK, SCALES, STROKES, type Scheme } from './glyphs'
import { onScreen, type Camera, type Places, type Point, type Size } from './places'

export interface Scene {
  graph: Graph
  /** Those lines of the graph that are drawn. */
  lines: readonly Line[]
  places: Places
  camera: Camera
  size: Size
  scheme: Scheme
  /** All else is faint; null where nothing is. */
  bright: ReadonlySet<number> | null
  chosen: number | null
  pointed: number | null
}

type Context = CanvasRenderingContext2D
const FAINT = 0.16
/** Around the chosen one, in radii of its glyph. */
const RING = 2.4
const FONT = '12px "Inter Variable", system-ui, sans-serif'
/** From so many lines on, those to the jump peer are pale, or nothing else is seen. */
const CROWD = 200
/** So many names at most; beyond them only those that matter. */
const MOST_NAMES = 400
const NAMES_FROM = 0.75
const FEW = 60
const LINE = 13
const CELL = { width: 24, height: 13 }

/** The radius of a glyph in pixels: it grows less than the map does. */
export const radiusAt = (zoom: number, spot: Spot): number =>
  Math.round(2 * Math.min(11, Math.max(3.5, 6.5 * Math.sqrt(zoom))) * SCALES[spot.kind]) / 2

export class Painter {
  #pictures = new Map<string, HTMLCanvasElement>()

  constructor(
    private readonly context: Context,
    private readonly ratio: number,
  ) {}

  paint(scene: Scene): void {
    const { context: c, ratio } = this
    c.setTransform(ratio, 0, 0, ratio, 0, 0)
    c.clearRect(0, 0, scene.size.width, scene.size.height)
    const points = screenPoints(scene)
    this.#lines(scene, points)
    this.#glyphs(scene, points)
    this.#names(scene, points)
  }

  #lines(scene: Scene, points: readonly Point[]): void {
    const { lines, scheme, graph } = scene
    const paths = new Map<string, { path: Path2D; line: Line; isFaint: boolean }>()
    for (const line of lines) {
      const [from, to] = [points[line.one], points[line.other]]
      if (!from || !to) continue
      const isFaint = !isBright(line, scene)
      const key = `${line.kind} ${isFaint} ${isCut(line, graph)}`
      const group = paths.get(key) ?? { path: new Path2D(), line, isFaint }
      paths.set(key, group)
      group.path.moveTo(from.x, from.y)
      group.path.lineTo(to.x, to.y)
    }
    const { context: c } = this
    for (const { path, line, isFaint } of paths.values()) {
      const { color, width, dash } = STROKES[line.kind]
      c.globalAlpha = isFaint ? FAINT / 2 : line.kind === 'spoke' && lines.length > CROWD ? 0.4 : 1
      c.strokeStyle = color[scheme]
      c.lineWidth = width
      c.setLineDash([...(isCut(line, graph) ? CUT : dash)])
      c.stroke(path)
    }
    c.setLineDash([])
    c.globalAlpha = 1
  }

  #glyphs({ graph, size, camera, bright, scheme, chosen, pointed }: Scene, points: readonly Point[]): void {
    const { context: c } = this
    // What others hang on is drawn last, above them.
    for (const index of inTurn(graph, []).reverse()) {
      const [spot, at] = [graph.spots[index], points[index]]
      if (!spot || !at || isOutside(at, size, 30)) continue
      const radius = radiusAt(camera.zoom, spot)
      c.globalAlpha = bright === null || bright.has(index) ? 1 : FAINT
      const picture = this.#picture(spot, radius, scheme)
      const side = picture.width / this.ratio
      c.drawImage(picture, at.x - side / 2, at.y - side / 2, side, side)
      if (index === chosen || index === pointed) this.#ring(at, radius * RING, INK[scheme], index === chosen ? 2.5 : 1.5)
    }
    c.globalAlpha = 1
  }

  #ring({ x, y }: Point, radius: number, color: string, width: number): void {
    const { context: c } = this
    c.beginPath()
    c.arc(x, y, radius, 0, 2 * Math.PI)
    c.strokeStyle = color
    c.lineWidth = width
    c.stroke()
  }

  #picture(spot: Spot, radius: number, scheme: Scheme): HTMLCanvasElement {
    const frame = FRAMES[spot.kind]
    const key = `${spot.look} ${frame ?? ''} ${radius} ${scheme}`
    const known = this.#pictures.get(key)
    if (known) return known
    const made = document.createElement('canvas')
    made.width = made.height = Math.ceil(2 * (radius * 2 + 3) * this.ratio)
    const c = made.getContext('2d')
    if (c) draw(c, spot, { radius, scheme, ratio: this.ratio, middle: made.width / 2 })
    if (this.#pictures.size > 600) this.#pictures.clear()
    this.#pictures.set(key, made)
    return made
  }

  #names({ graph, size, camera, bright, scheme, chosen, pointed }: Scene, points: readonly Point[]): void {
    const { context: c } = this
    c.font = FONT
    c.textAlign = 'center'
    c.textBaseline = 'top'
    c.lineJoin = 'round'
    c.lineWidth = 3
    const isNear = camera.zoom >= NAMES_FROM || graph.spots.length <= FEW
    const taken = new Set<string>()
    let left = MOST_NAMES
    for (const index of inTurn(graph, [pointed, chosen])) {
      const [spot, at] = [graph.spots[index], points[index]]
      if (!spot || !at || left === 0 || isOutside(at, size, 0)) continue
      const isNeeded = index === chosen || index === pointed
      const isWanted = spot.kind === 'jump' || spot.kind === 'remote' || isNear
      if (!isNeeded && (!isWanted || (bright !== null && !bright.has(index)))) continue
      const y = at.y + radiusAt(camera.zoom, spot) * (isNeeded ? RING : FRAMES[spot.kind] ? 1.9 : 1.1) + 3
      const cells = cellsOf(at.x, y, c.measureText(spot.name).width)
      if (!isNeeded && cells.some((each) => taken.has(each))) continue
      for (const each of cells) taken.add(each)
      left--
      c.strokeStyle = GROUND[scheme]
      c.fillStyle = INK[scheme]
      c.strokeText(spot.name, at.x, y)
      c.fillText(spot.name, at.x, y)
    }
  }
}

function screenPoints({ graph, places, camera, size }: Scene): Point[] {
  return graph.spots.map((_, index) => onScreen({ x: places[2 * index] ?? 0, y: places[2 * index + 1] ?? 0 }, camera, size))
}

const isOutside = ({ x, y }: Point, { width, height }: Size, margin: number): boolean =>
  x < -margin || y < -margin || x > width + margin || y > height + margin

/** Lines of the chosen spot, where there is one; else those between spots that stand out. */
const isBright = ({ one, other }: Line, { bright, chosen }: Scene): boolean =>
  chosen === null ? bright === null || (bright.has(one) && bright.has(other)) : one === chosen || other === chosen

const isCut = ({ kind, other }: Line, { spots }: Graph): boolean => kind === 'bridge' && spots[other]?.look !== 'up'

/** Whose name goes first where there is no room for all: these, then jump peers and remotes, then the others. */
function inTurn({ spots }: Graph, first: readonly (number | null)[]): number[] {
  const all = spots.map((_, index) => index)
  const weight = (index: number) => (spots[index]?.kind === 'jump' || spots[index]?.kind === 'remote' ? 0 : 1)
  return [...first.filter((each) => each !== null), ...all.sort((a, b) => weight(a) - weight(b))]
}

function cellsOf(x: number, y: number, width: number): string[] {
  const [from, to] = [Math.floor((x - width / 2) / CELL.width), Math.floor((x + width / 2) / CELL.width)]
  const [top, bottom] = [Math.floor(y / CELL.height), Math.floor((y + LINE) / CELL.height)]
  const found = []
  for (let row = top; row <= bottom; row++) for (let column = from; column <= to; column++) found.push(`${column} ${row}`)
  return found
}

interface Stamp {
  radius: number
  scheme: Scheme
  ratio: number
  middle: number
}

function draw(c: Context, { look, kind }: Spot, { radius, scheme, ratio, middle }: Stamp): void {
  const { filled, lined, color } = GLYPHS[look]
  const frame = FRAMES[kind]
  const scale = radius * ratio
  c.setTransform(scale, 0, 0, scale, middle, middle)
  c.strokeStyle = c.fillStyle = color[scheme]
  // The ground keeps lines from running through hollow glyphs.
  const under = new Path2D(frame ?? 'M-1.1 0A1.1 1.1 0 1 1 1.1 0A1.1 1.1 0 1 1 -1.1 0Z')
  c.save()
  c.fillStyle = GROUND[scheme]
  c.fill(under)
  c.restore()
  if (frame) {
    c.lineWidth = 1.8 / radius
    c.stroke(new Path2D(frame))
  }
  if (filled) c.fill(new Path2D(filled))
  if (lined) {
    c.lineWidth = 2 / radius
    c.stroke(new Path2D(lined))
  }
}
