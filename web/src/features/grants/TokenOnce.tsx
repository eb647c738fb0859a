// The token of a grant, once, with what it allows and what of it is wide open.
import { Alert, Button, Group, List, Modal, Stack, Text } from '@mantine/core'
import type { IssuedGrantView } from '../../api/schema.gen'
import { Copied } from '../../ui/Copied'
import { texts } from '../../ui/texts'
import { useNames } from './names'
import { sentence } from './words'

const t = texts.grants

export function TokenOnce({ of: { grant, token, warnings }, onClose }: { of: IssuedGrantView; onClose: () => void }) {
  const names = useNames()
  return (
    <Modal opened onClose={onClose} title={t.onceTitle} size="lg" closeOnClickOutside={false} withCloseButton={false}>
      <Stack>
        <Text size="sm">{sentence(grant, names)}</Text>
        {warnings.length > 0 && (
          <Alert color="yellow">
            <List size="sm">
              {warnings.map((each) => (
                <List.Item key={each}>{each}</List.Item>
              ))}
            </List>
          </Alert>
        )}
        <Copied label={t.token}>{token}</Copied>
        <Text size="sm">{t.onceSays}</Text>
        <Group justify="flex-end">
          <Button onClick={onClose}>{t.close}</Button>
        </Group>
      </Stack>
    </Modal>
  )
}
