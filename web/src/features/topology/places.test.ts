import { expect, test } from 'vitest'
import type { Graph, Kind } from './graph'
import { fitted, hit, onScreen, panned, seeded, zoomed, type Camera, type Places } from './places'

const SIZE = { width: 400, height: 300 }
const CAMERA: Camera = { x: 10, y: -5, zoom: 2 }
const graph = (...kinds: Kind[]): Graph => ({
  spots: kinds.map((kind, index) => ({ id: String(index), name: '', kind, look: 'online', words: '' })),
  lines: [],
  shape: '',
})
const points = (places: Places) => Array.from({ length: places.length / 2 }, (_, index) => ({ x: places[2 * index] ?? 0, y: places[2 * index + 1] ?? 0 }))

test('what is under the pointer stays there while the map is zoomed', () => {
  const pixel = { x: 313, y: 77 }
  const spot = { x: CAMERA.x + (pixel.x - 200) / 2, y: CAMERA.y + (pixel.y - 150) / 2 }
  const after = onScreen(spot, zoomed(CAMERA, 1.7, pixel, SIZE), SIZE)
  expect([after.x, after.y]).toEqual([expect.closeTo(pixel.x), expect.closeTo(pixel.y)])
})

test('a drag moves the map by as many pixels', () => {
  const before = onScreen({ x: 0, y: 0 }, CAMERA, SIZE)
  const after = onScreen({ x: 0, y: 0 }, panned(CAMERA, 30, -12), SIZE)
  expect([after.x - before.x, after.y - before.y]).toEqual([30, -12])
})

test('zoom has an end on either side', () => {
  const far = Array.from({ length: 50 }).reduce<Camera>((camera) => zoomed(camera, 0.5, { x: 0, y: 0 }, SIZE), CAMERA)
  const near = Array.from({ length: 50 }).reduce<Camera>((camera) => zoomed(camera, 2, { x: 0, y: 0 }, SIZE), CAMERA)
  expect([far.zoom, near.zoom]).toEqual([0.05, 6])
})

test('all of it is shown, few spots not larger than life, and no spots are shown too', () => {
  const places = new Float32Array([-500, 0, 700, 40, 0, 900])
  for (const at of points(places)) {
    const { x, y } = onScreen(at, fitted(places, SIZE), SIZE)
    expect(x >= 0 && x <= SIZE.width && y >= 0 && y <= SIZE.height).toBe(true)
  }
  expect(fitted(new Float32Array([5, 5]), SIZE)).toEqual({ x: 5, y: 5, zoom: 1.6 })
  expect(fitted(new Float32Array(), SIZE)).toEqual({ x: 0, y: 0, zoom: 1 })
})

test('the nearest spot within reach is hit', () => {
  const places = new Float32Array([0, 0, 8, 0])
  const at = onScreen({ x: 5, y: 0 }, CAMERA, SIZE)
  expect(hit(places, CAMERA, SIZE, at, 14)).toBe(1)
  expect(hit(places, CAMERA, SIZE, { x: at.x, y: at.y + 40 }, 14)).toBeNull()
})

test('spots begin apart from each other, jump peers in the middle and remotes outside, and known ones stay', () => {
  const kinds: Kind[] = ['jump', 'jump', ...Array<Kind>(40).fill('dynamic'), 'remote', 'remote']
  const places = points(seeded(graph(...kinds), new Map()))
  const radius = places.map(({ x, y }) => Math.hypot(x, y))
  const furthest = Math.max(...radius.slice(2, 42))
  expect(Math.max(...radius.slice(0, 2))).toBeLessThan(Math.min(...radius.slice(2, 42)))
  expect(Math.min(...radius.slice(42))).toBeGreaterThan(furthest)
  for (const [index, one] of places.entries()) {
    for (const other of places.slice(index + 1)) expect(Math.hypot(one.x - other.x, one.y - other.y)).toBeGreaterThan(11)
  }
  expect(points(seeded(graph('jump'), new Map([['0', { x: 7, y: 8 }]])))).toEqual([{ x: 7, y: 8 }])
})
