// What was seen of a misused identity, as moments in the order of time.
import type { IncidentView } from '../../api/schema.gen'

type Evidence = IncidentView['evidence']

export interface Seen {
  at: string
  /** Where it was seen or heard from; null where that is not known. */
  place: string | null
  /** Which jump peer saw it. */
  by?: string
  /** Which agent spoke. */
  process?: { machine: string; boot: string; startedAt: string }
}

// Enough to tell two hosts apart.
const BEGINNING = 8

export function timeline(evidence: Evidence): Seen[] {
  const seen: Seen[] = []
  if ('voices' in evidence) {
    for (const { at, source, process } of evidence.voices) {
      const spoke = process && {
        machine: process.machine_id.slice(0, BEGINNING),
        boot: process.boot_id.slice(0, BEGINNING),
        startedAt: new Date(process.started_at * 1000).toISOString(),
      }
      seen.push({ at, place: source, ...(spoke ? { process: spoke } : {}) })
    }
  }
  if ('observations' in evidence) {
    for (const { name, sightings } of evidence.observations) {
      for (const { at, place } of sightings) seen.push({ at, place, by: name })
    }
  }
  return seen.sort((a, b) => Date.parse(a.at) - Date.parse(b.at))
}
