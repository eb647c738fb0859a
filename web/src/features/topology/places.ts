// Where spots stand before forces move them, and from where to where the camera looks. Pure.
import type { Graph } from './graph'

/** Places as x and y in turn, in units of the map. */
export type Places = Float32Array<ArrayBuffer>

export interface Point {
  x: number
  y: number
}

/** Looks at `x`, `y` of the map in the middle of the canvas; `zoom` is pixels per unit. */
export interface Camera extends Point {
  zoom: number
}

export interface Size {
  width: number
  height: number
}

const APART = 22
const GOLDEN = Math.PI * (3 - Math.sqrt(5))
const NEAREST = 0.05
const FARTHEST = 6
const MARGIN = 44

/** Jump peers in the middle, peers around them as seeds stand in a sunflower, remotes on the rim; `known` stay. */
export function seeded({ spots }: Graph, known: ReadonlyMap<string, Point>): Places {
  const places = new Float32Array(spots.length * 2)
  const rim = APART * Math.sqrt(spots.length) + 90
  const count = { jump: 0, other: 3, remote: 0 }
  spots.forEach(({ id, kind }, index) => {
    const at = known.get(id) ?? fresh(kind, rim, count)
    places[2 * index] = at.x
    places[2 * index + 1] = at.y
  })
  return places
}

function fresh(kind: string, rim: number, count: { jump: number; other: number; remote: number }): Point {
  if (kind === 'jump') return turned(count.jump === 0 ? 0 : APART, 2.1 * count.jump++)
  if (kind === 'remote') return turned(rim, 2.4 * count.remote++ - 0.6)
  count.other++
  return turned(APART * Math.sqrt(count.other), GOLDEN * count.other)
}

const turned = (radius: number, angle: number): Point => ({ x: radius * Math.cos(angle), y: radius * Math.sin(angle) })

/** Shows all of `places`, but few of them not larger than life. */
export function fitted(places: Places, { width, height }: Size): Camera {
  let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity]
  for (let index = 0; index < places.length; index += 2) {
    const [x = 0, y = 0] = [places[index], places[index + 1]]
    left = Math.min(left, x)
    right = Math.max(right, x)
    top = Math.min(top, y)
    bottom = Math.max(bottom, y)
  }
  if (left > right) return { x: 0, y: 0, zoom: 1 }
  const across = Math.max(1, width - 2 * MARGIN) / Math.max(1, right - left)
  const down = Math.max(1, height - 2 * MARGIN) / Math.max(1, bottom - top)
  return { x: (left + right) / 2, y: (top + bottom) / 2, zoom: within(Math.min(across, down, 1.6)) }
}

const within = (zoom: number): number => Math.min(FARTHEST, Math.max(NEAREST, zoom))

export const onScreen = (at: Point, camera: Camera, { width, height }: Size): Point => ({
  x: (at.x - camera.x) * camera.zoom + width / 2,
  y: (at.y - camera.y) * camera.zoom + height / 2,
})

/** Moved by so many pixels. */
export const panned = (camera: Camera, across: number, down: number): Camera => ({
  ...camera,
  x: camera.x - across / camera.zoom,
  y: camera.y - down / camera.zoom,
})

/** Zoomed by a factor; what is at `pixel` stays there. */
export function zoomed(camera: Camera, factor: number, pixel: Point, { width, height }: Size): Camera {
  const zoom = within(camera.zoom * factor)
  const [across, down] = [pixel.x - width / 2, pixel.y - height / 2]
  return {
    x: camera.x + across / camera.zoom - across / zoom,
    y: camera.y + down / camera.zoom - down / zoom,
    zoom,
  }
}

/** The place in the list of what is at `pixel`, give or take `reach` pixels; null for nothing. */
export function hit(places: Places, camera: Camera, size: Size, pixel: Point, reach: number): number | null {
  let found: number | null = null
  let nearest = reach * reach
  for (let index = 0; index < places.length; index += 2) {
    const at = onScreen({ x: places[index] ?? 0, y: places[index + 1] ?? 0 }, camera, size)
    const distance = (at.x - pixel.x) ** 2 + (at.y - pixel.y) ** 2
    if (distance <= nearest) [found, nearest] = [index / 2, distance]
  }
  return found
}
