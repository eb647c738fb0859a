// The map on its canvas: what is shown on it, where the camera looks, and what hands and keys do with it.
import type { Graph, Line } from './graph'
import type { Scheme } from './glyphs'
import { Layout } from './layout'
import { Painter } from './paint'
import { fitted, hit, panned, zoomed, type Camera, type Point, type Size } from './places'

export interface Shown {
  graph: Graph
  lines: readonly Line[]
  bright: ReadonlySet<number> | null
  chosen: number | null
  scheme: Scheme
}

const STEP = 60
const ZOOM_STEP = 1.3
const CLOSE = 1.4
const REACH = 14
const CLICK = 4

export class MapView {
  #shown: Shown = { graph: { spots: [], lines: [], shape: '' }, lines: [], bright: null, chosen: null, scheme: 'light' }
  #camera: Camera = { x: 0, y: 0, zoom: 1 }
  #size: Size = { width: 0, height: 0 }
  #painter: Painter | null = null
  #frame = 0
  /** What the camera keeps in view until somebody moves it. */
  #follows: 'all' | 'chosen' | 'nothing' = 'all'
  #pointed: number | null = null
  #pointers = new Map<number, Point>()
  #travel = 0
  #layout = new Layout(() => {
    this.#look()
    this.#draw()
  })
  #listening = new AbortController()
  #observer = new ResizeObserver(() => this.#resized())

  /** `pick` is told which spot was clicked, null for none. */
  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly pick: (spot: number | null) => void,
  ) {
    this.#observer.observe(canvas)
    const { signal } = this.#listening
    canvas.addEventListener('pointerdown', (event) => this.#down(event), { signal })
    canvas.addEventListener('pointermove', (event) => this.#moved(event), { signal })
    canvas.addEventListener('pointerup', (event) => this.#up(event), { signal })
    canvas.addEventListener('pointercancel', (event) => this.#pointers.delete(event.pointerId), { signal })
    canvas.addEventListener('pointerleave', () => this.#point(null), { signal })
    canvas.addEventListener('wheel', (event) => this.#wheeled(event), { signal, passive: false })
    this.#resized()
  }

  show(shown: Shown): void {
    const chose = shown.chosen !== null && this.#idOf(shown, shown.chosen) !== this.#idOf(this.#shown, this.#shown.chosen)
    if (shown.graph !== this.#shown.graph) this.#pointed = null
    this.#shown = shown
    this.#layout.show(shown.graph)
    if (chose) this.#follows = 'chosen'
    else if (shown.chosen === null && this.#follows === 'chosen') this.#follows = 'nothing'
    this.#look()
    this.#draw()
  }

  #idOf({ graph }: Shown, index: number | null): string | undefined {
    return index === null ? undefined : graph.spots[index]?.id
  }

  zoomBy(factor: number, at: Point = { x: this.#size.width / 2, y: this.#size.height / 2 }): void {
    this.#hold(zoomed(this.#camera, factor, at, this.#size))
  }

  fit(): void {
    this.#follows = 'all'
    this.#look()
    this.#draw()
  }

  /** What a key does; false where it does nothing here. */
  key(name: string): boolean {
    const way: Record<string, [number, number]> = {
      ArrowLeft: [STEP, 0],
      ArrowRight: [-STEP, 0],
      ArrowUp: [0, STEP],
      ArrowDown: [0, -STEP],
    }
    const move = way[name]
    if (move) this.#hold(panned(this.#camera, ...move))
    else if (name === '+' || name === '=') this.zoomBy(ZOOM_STEP)
    else if (name === '-') this.zoomBy(1 / ZOOM_STEP)
    else if (name === '0') this.fit()
    else if (name === 'Escape') this.pick(null)
    else return false
    return true
  }

  close(): void {
    this.#listening.abort()
    this.#observer.disconnect()
    this.#layout.close()
    cancelAnimationFrame(this.#frame)
  }

  #look(): void {
    const { places } = this.#layout
    const { chosen } = this.#shown
    if (this.#follows === 'all') this.#camera = fitted(places, this.#size)
    if (this.#follows !== 'chosen' || chosen === null) return
    const [x = 0, y = 0] = [places[2 * chosen], places[2 * chosen + 1]]
    this.#camera = { x, y, zoom: Math.max(CLOSE, this.#camera.zoom) }
  }

  #hold(camera: Camera): void {
    this.#follows = 'nothing'
    this.#camera = camera
    this.#draw()
  }

  #resized(): void {
    const { width, height } = this.canvas.getBoundingClientRect()
    const ratio = Math.min(2, window.devicePixelRatio || 1)
    this.#size = { width, height }
    this.canvas.width = Math.round(width * ratio)
    this.canvas.height = Math.round(height * ratio)
    const context = this.canvas.getContext('2d')
    this.#painter = context && new Painter(context, ratio)
    this.#look()
    this.#paint()
  }

  #draw(): void {
    this.#frame ||= requestAnimationFrame(() => this.#paint())
  }

  #paint(): void {
    cancelAnimationFrame(this.#frame)
    this.#frame = 0
    const [camera, size, places, pointed] = [this.#camera, this.#size, this.#layout.places, this.#pointed]
    this.#painter?.paint({ ...this.#shown, places, camera, size, pointed })
  }

  #pixel(event: MouseEvent): Point {
    const { left, top } = this.canvas.getBoundingClientRect()
    return { x: event.clientX - left, y: event.clientY - top }
  }

  #at(pixel: Point): number | null {
    return hit(this.#layout.places, this.#camera, this.#size, pixel, REACH)
  }

  #down(event: PointerEvent): void {
    this.canvas.setPointerCapture(event.pointerId)
    this.#pointers.set(event.pointerId, this.#pixel(event))
    this.#travel = this.#pointers.size > 1 ? Infinity : 0
  }

  #moved(event: PointerEvent): void {
    const now = this.#pixel(event)
    const before = this.#pointers.get(event.pointerId)
    if (before === undefined) {
      this.#point(this.#at(now))
      return
    }
    this.#pointers.set(event.pointerId, now)
    this.#travel += Math.hypot(now.x - before.x, now.y - before.y)
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1]
    if (other) this.zoomBy(distance(now, other) / Math.max(1, distance(before, other)), other)
    else if (this.#travel > CLICK) this.#hold(panned(this.#camera, now.x - before.x, now.y - before.y))
  }

  #up(event: PointerEvent): void {
    if (this.#pointers.delete(event.pointerId) && this.#travel <= CLICK) this.pick(this.#at(this.#pixel(event)))
  }

  #point(index: number | null): void {
    if (index === this.#pointed) return
    this.#pointed = index
    this.canvas.classList.toggle('pointed', index !== null)
    this.#draw()
  }

  #wheeled(event: WheelEvent): void {
    event.preventDefault()
    this.zoomBy(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), this.#pixel(event))
  }
}

const distance = (one: Point, other: Point): number => Math.hypot(one.x - other.x, one.y - other.y)
