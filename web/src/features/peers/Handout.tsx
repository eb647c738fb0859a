// What the owner of a peer is handed, once: the way to enroll its host, or its config.
import { Alert, Button, Group, Image, Modal, Stack, Text } from '@mantine/core'
import { IconDownload } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import type { ConfigView, CreatedView, IssuedView } from '../../api/schema.gen'
import { Copied } from '../../ui/Copied'
import { Mark } from '../../ui/Mark'
import { texts } from '../../ui/texts'
import { at } from '../../ui/time'
import { peer } from './queries'
import { LOOKS, stateOf } from './state'

const t = texts.peers

export function Handout({ of: { peer: made, enrollment, config }, onClose }: { of: CreatedView; onClose: () => void }) {
  return (
    <HandoutModal title={`${made.name}: ${t.onceTitle}`} onClose={onClose}>
      {enrollment && <TokenHandout issued={enrollment} peerId={made.id} />}
      {config && <ConfigHandout config={config} says={t.configOnce} />}
    </HandoutModal>
  )
}

interface ModalProps {
  title: string
  onClose: () => void
  children: React.ReactNode
}

export function HandoutModal({ title, onClose, children }: ModalProps) {
  return (
    <Modal opened onClose={onClose} title={title} size="lg" closeOnClickOutside={false} withCloseButton={false}>
      <Stack>
        {children}
        <Group justify="flex-end">
          <Button onClick={onClose}>{t.close}</Button>
        </Group>
      </Stack>
    </Modal>
  )
}

/** The token stands alone, because a command line can be read by everybody on the host. */
export function TokenHandout({ issued, peerId }: { issued: IssuedView; peerId: string }) {
  const seen = useQuery(peer(peerId)).data
  const isHere = seen?.enrollment.state === 'enrolled'
  return (
    <>
      <Text size="sm">{`${t.tokenUntil} ${at(issued.expires_at)}. ${t.tokenOnce}`}</Text>
      <Copied label={t.command}>{`isthmus agent enroll --server ${location.origin} && isthmus agent run`}</Copied>
      <Copied label={t.token}>{issued.token}</Copied>
      {seen && (
        <Group gap="sm" role="status">
          <Mark look={LOOKS[stateOf(seen)]} />
          <Text size="sm">{isHere ? t.arrived : t.waiting}</Text>
        </Group>
      )}
    </>
  )
}

export function ConfigHandout({ config, says }: { config: ConfigView; says: string }) {
  const file = new Blob([config.text], { type: 'text/plain' })
  const save = () => {
    const url = URL.createObjectURL(file)
    const link = Object.assign(document.createElement('a'), { href: url, download: config.filename })
    link.click()
    URL.revokeObjectURL(url)
  }
  return (
    <>
      <Text size="sm">{says}</Text>
      {config.reaches === 0 && <Alert color="yellow">{t.reachesNobody}</Alert>}
      {config.qr_svg && (
        <Image
          src={`data:image/svg+xml,${encodeURIComponent(config.qr_svg)}`}
          alt={t.qr}
          w={260}
          maw="100%"
          mx="auto"
          bg="white"
          p="xs"
        />
      )}
      <Copied label={t.config}>{config.text}</Copied>
      <Button variant="light" leftSection={<IconDownload size={16} aria-hidden />} onClick={save}>
        {`${t.download} ${config.filename}`}
      </Button>
    </>
  )
}
