// Forces that find a place for every spot, away from the thread that draws.
import { forceCollide, forceLink, forceManyBody, forceSimulation, forceX, forceY, type SimulationNodeDatum } from 'd3-force'
import type { Kind } from './graph'

export interface Order {
  /** Comes back with each answer. */
  number: number
  places: Float32Array<ArrayBuffer>
  kinds: readonly Kind[]
  /** Pairs of places in the list. */
  ties: Uint32Array<ArrayBuffer>
  /** How much may move, from 0 to 1. */
  heat: number
}

export interface Answer {
  number: number
  places: Float32Array<ArrayBuffer>
  isDone: boolean
}

interface Body extends SimulationNodeDatum {
  kind: Kind
}

const SLICE = 28
const COLD = 0.02
let latest = 0

self.onmessage = ({ data }: MessageEvent<Order>) => {
  latest = data.number
  run(data)
}

function run({ number, places, kinds, ties, heat }: Order) {
  const bodies: Body[] = kinds.map((kind, index) => ({ kind, x: places[2 * index] ?? 0, y: places[2 * index + 1] ?? 0 }))
  const simulation = simulated(bodies, ties).alpha(heat)
  const step = () => {
    // A newer order has taken over.
    if (number !== latest) return
    const end = performance.now() + SLICE
    while (simulation.alpha() > COLD && performance.now() < end) simulation.tick()
    const isDone = simulation.alpha() <= COLD
    const now = new Float32Array(bodies.flatMap(({ x, y }) => [x ?? 0, y ?? 0]))
    const answer: Answer = { number, places: now, isDone }
    self.postMessage(answer, { transfer: [now.buffer] })
    if (!isDone) setTimeout(step)
  }
  step()
}

function simulated(bodies: Body[], ties: Uint32Array) {
  const reach = 60 + 9 * Math.sqrt(bodies.length)
  const links = Array.from({ length: ties.length / 2 }, (_, index) => ({ source: ties[2 * index] ?? 0, target: ties[2 * index + 1] ?? 0 }))
  const isRemote = (index: number) => bodies[index]?.kind === 'remote'
  const length = links.map(({ source, target }) => (isRemote(source) || isRemote(target) ? 2.2 * reach : reach))
  const isMiddle = ({ kind }: Body) => kind === 'jump'
  const isFramed = ({ kind }: Body) => kind === 'jump' || kind === 'remote'
  const room = 30 + Math.sqrt(bodies.length)
  const pull = (each: Body) => (isMiddle(each) ? 0.25 : 0.04)
  return forceSimulation(bodies)
    .stop()
    .alphaDecay(0.035)
    .velocityDecay(0.5)
    .force('tie', forceLink(links).distance((_, index) => length[index] ?? reach).strength(bodies.length > 60 ? 0.03 : 0.2))
    .force('apart', forceManyBody<Body>().strength((each) => (isMiddle(each) ? -260 : -70)).distanceMax(320))
    .force('room', forceCollide<Body>((each) => (isFramed(each) ? room : 11)))
    .force('x', forceX<Body>().strength(pull))
    .force('y', forceY<Body>().strength(pull))
}
