// The revisions that changed what a peer is told, each with what it changed.
import { Button, Code, Group, Stack, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import type { ConfigRevisionView } from '../../api/schema.gen'
import { Section } from '../../ui/Facts'
import { Loaded } from '../../ui/Loaded'
import { texts } from '../../ui/texts'
import { When } from '../../ui/When'
import { configAt, difference, history } from './queries'

const t = texts.peers

export function PeerHistory({ peerId }: { peerId: string }) {
  const read = useInfiniteQuery(history(peerId))
  return (
    <Section title={t.history}>
      <Loaded of={read} rows={2}>
        {({ pages }) => {
          const items = pages.flatMap((page) => page.items)
          // What came before the oldest one is forgotten, or the peer was not there yet.
          const oldest = Math.max(pages[0]?.begins ?? 0, read.hasNextPage ? 0 : (items.at(-1)?.revision ?? 0))
          if (items.length === 0) return <Text size="sm">{t.noHistory}</Text>
          return (
            <Stack gap="sm">
              {items.map((each) => (
                <Revision key={each.revision} peerId={peerId} of={each} isFirst={each.revision <= oldest} />
              ))}
              {read.hasNextPage && (
                <Button variant="default" loading={read.isFetchingNextPage} onClick={() => void read.fetchNextPage()}>
                  {texts.actions.more}
                </Button>
              )}
            </Stack>
          )
        }}
      </Loaded>
    </Section>
  )
}

interface Props {
  peerId: string
  of: ConfigRevisionView
  isFirst: boolean
}

function Revision({ peerId, of: { revision, at, event, subject }, isFirst }: Props) {
  const [isOpen, shown] = useDisclosure(false)
  return (
    <div>
      <Group gap="sm">
        <Text size="sm" fw={600} className="numbers">
          {revision}
        </Text>
        <Text size="sm">{event.replaceAll('_', ' ').replaceAll('.', ' ')}</Text>
        <Text size="sm">{subject}</Text>
        <Text size="sm" c="dimmed">
          <When at={at} />
        </Text>
        <Button size="compact-xs" variant="light" aria-expanded={isOpen} onClick={shown.toggle}>
          {isOpen ? t.hideDiff : isFirst ? t.at : t.diff}
        </Button>
      </Group>
      {isOpen && (isFirst ? <Whole peerId={peerId} revision={revision} /> : <Change peerId={peerId} revision={revision} />)}
    </div>
  )
}

function Change({ peerId, revision }: { peerId: string; revision: number }) {
  return (
    <Loaded of={useQuery(difference(peerId, revision, revision - 1))} rows={2}>
      {({ diff }) => <Lines text={diff || t.noDiff} />}
    </Loaded>
  )
}

function Whole({ peerId, revision }: { peerId: string; revision: number }) {
  return (
    <Loaded of={useQuery(configAt(peerId, revision))} rows={2}>
      {({ text }) => <Lines text={text} />}
    </Loaded>
  )
}

function Lines({ text }: { text: string }) {
  return (
    <Code block mt="xs">
      {text}
    </Code>
  )
}
