// An IPv4 range as fields: which are in use, kept back, or free. What it says is in the tables below as well.
import { Group, Text, Tooltip } from '@mantine/core'
import { useMemo } from 'react'
import type { PeerView, ReservationView } from '../../api/schema.gen'
import { texts } from '../../ui/texts'
import classes from './AllocationMap.module.css'
import { fieldsOf, rangeOf, type Field } from './ranges'

const t = texts.addresses

interface Props {
  cidr: string | null
  peers: readonly PeerView[]
  reserved: readonly ReservationView[]
}

export function AllocationMap({ cidr, peers, reserved }: Props) {
  const fields = useMemo(() => {
    const used = peers.flatMap((each) => each.addresses)
    return cidr === null ? [] : fieldsOf(rangeOf(cidr), used, reserved.map((each) => each.address))
  }, [cidr, peers, reserved])
  if (cidr === null) return <Text size="sm">{t.noV4}</Text>
  const kinds = ['free', 'some', 'used', 'reserved'] as const
  return (
    <>
      <Text size="sm" c="dimmed">
        {t.mapSays}
      </Text>
      <div className={classes['map']} role="img" aria-label={`${t.map} ${cidr}`}>
        {fields.map((field) => (
          <Tooltip key={field.first} label={saysOf(field)}>
            <span className={classes[kindOf(field)]} />
          </Tooltip>
        ))}
      </div>
      <Group gap="md">
        {kinds.map((kind) => (
          <Group key={kind} gap={6}>
            <span className={`${classes['sample']} ${classes[kind]}`} aria-hidden />
            <Text size="xs">{t.legend[kind]}</Text>
          </Group>
        ))}
      </Group>
    </>
  )
}

function kindOf({ size, used, reserved }: Field): 'free' | 'some' | 'used' | 'reserved' {
  if (used + reserved === 0) return 'free'
  if (used + reserved < size) return 'some'
  return used > 0 ? 'used' : 'reserved'
}

function saysOf(field: Field): string {
  const where = field.size === 1 ? field.first : `${field.first} – ${field.last}`
  return `${where}: ${t.legend[kindOf(field)]}`
}
