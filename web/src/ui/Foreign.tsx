// Text that somebody else has chosen: shown as text, on its own direction, and marked.
export function Foreign({ children }: { children: string }) {
  return <bdi className="foreign">{children}</bdi>
}
