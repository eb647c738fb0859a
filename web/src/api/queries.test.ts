import { QueryClient, QueryObserver } from '@tanstack/react-query'
import { expect, test } from 'vitest'
import type { Message } from './live'
import { follow } from './queries'

const notice = (subject_kind: string, event = `${subject_kind}.changed`): Message => ({
  type: 'notice',
  network: 'n',
  event,
  subject_kind,
  subject: 's',
})
const pause = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds))

/** A page that shows what is read in so many milliseconds, and how many readings were begun and ended. */
async function aPage(client: QueryClient, key: string, takes: number) {
  const counts = { begun: 0, ended: 0 }
  const queryFn = async () => {
    counts.begun++
    await pause(takes)
    return ++counts.ended
  }
  const observer = new QueryObserver(client, { queryKey: [key], queryFn })
  const close = observer.subscribe(() => undefined)
  await pause(takes + 20)
  return { counts, close, shown: () => observer.getCurrentResult().data }
}

test('a page is read again while notices keep coming, and once more after the last of them', async () => {
  const client = new QueryClient()
  const { counts, close, shown } = await aPage(client, 'topology', 40)
  for (let count = 0; count < 80; count++) {
    follow(notice('peer'), client)
    await pause(10)
  }
  const during = shown()
  expect(during).toBeGreaterThan(2)
  expect(counts.begun).toBeLessThan(10)
  await pause(450)
  expect(shown()).toBeGreaterThan(during ?? 0)
  expect(shown()).toBe(counts.begun)
  close()
})

test('a notice makes old what shows its kind, and one of many makes everything old', async () => {
  const client = new QueryClient()
  const { counts, close } = await aPage(client, 'topology', 1)
  follow(notice('template'), client)
  await pause(300)
  expect(counts.begun).toBe(1)
  for (const [message, begun] of [[notice('bridge'), 2], [notice('', 'network.many'), 3], [notice('what is new'), 4]] as const) {
    follow(message, client)
    await pause(300)
    expect(counts.begun).toBe(begun)
  }
  close()
})
