// Text that somebody else has chosen: shown as text, on its own direction, and marked.
import { legible } from './legible'

export function Foreign({ children }: { children: string }) {
  return <bdi className="foreign">{legible(children)}</bdi>
}
