// The places of all spots of a graph, as the worker finds them. What stayed in the graph stays near where it was.
import { isTie, type Graph } from './graph'
import type { Answer, Order } from './layout.worker'
import { seeded, type Places, type Point } from './places'

const ANEW = 1
const AGAIN = 0.35

export class Layout {
  #worker = new Worker(new URL('./layout.worker.ts', import.meta.url), { type: 'module' })
  #number = 0
  #graph: Graph = { spots: [], lines: [], shape: '' }
  #places: Places = new Float32Array()

  /** `moved` is called whenever places have changed; `isDone` once they stay. */
  constructor(private readonly moved: (isDone: boolean) => void) {
    this.#worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      if (data.number !== this.#number) return
      this.#places = data.places
      this.moved(data.isDone)
    }
  }

  get places(): Places {
    return this.#places
  }

  /** Lay out `graph`, from where its spots stand already. */
  show(graph: Graph): void {
    const before = this.#graph
    this.#graph = graph
    if (before.shape === graph.shape) return
    const known = this.#known(before)
    const stayed = graph.spots.filter((each) => known.has(each.id)).length
    this.#places = seeded(graph, known)
    this.moved(false)
    const ties = new Uint32Array(graph.lines.filter(isTie).flatMap(({ one, other }) => [one, other]))
    const heat = stayed * 2 > graph.spots.length ? AGAIN : ANEW
    const kinds = graph.spots.map((each) => each.kind)
    const order: Order = { number: ++this.#number, places: this.#places, kinds, ties, heat }
    this.#worker.postMessage(order)
  }

  #known({ spots }: Graph): Map<string, Point> {
    const at = (index: number): Point => ({ x: this.#places[2 * index] ?? 0, y: this.#places[2 * index + 1] ?? 0 })
    return new Map(spots.map((each, index) => [each.id, at(index)]))
  }

  close(): void {
    this.#worker.terminate()
  }
}
