// What has passed and how far behind agents are, over the time that this tab is open. The server keeps the last word of
// each peer alone, so that what was before is not known.
import { useEffect, useState } from 'react'
import type { PeerView } from '../../api/schema.gen'

export interface Sample {
  /** In milliseconds. */
  at: number
  /** What each peer has received and sent since it began to count. */
  bytes: ReadonlyMap<string, number>
  /** Agents that are there and have not applied what they are told. */
  behind: number
}

const MOST = 60

export const sampleOf = (peers: readonly PeerView[], at: number): Sample => ({
  at,
  bytes: new Map(peers.map(({ id, status }) => [id, status.rx + status.tx])),
  behind: peers.filter(({ status, desired_revision: wanted }) => status.connected && status.applied_revision !== wanted).length,
})

/** Bytes a second between each two samples. Who began to count anew has passed nothing in between. */
export function rates(samples: readonly Sample[]): number[] {
  return samples.slice(1).map((after, index) => {
    const before = samples[index]
    if (before === undefined) return 0
    let passed = 0
    for (const [id, bytes] of after.bytes) passed += Math.max(0, bytes - (before.bytes.get(id) ?? bytes))
    return (1000 * passed) / Math.max(1, after.at - before.at)
  })
}

let kept: readonly Sample[] = []

/** The samples of this tab so far, with one for each time that peers were read. */
export function useSamples(peers: readonly PeerView[], readAt: number): readonly Sample[] {
  const [samples, setSamples] = useState(kept)
  if (samples.at(-1)?.at !== readAt) setSamples([...samples, sampleOf(peers, readAt)].slice(-MOST))
  useEffect(() => {
    // For when the page is opened again.
    kept = samples
  }, [samples])
  return samples
}
