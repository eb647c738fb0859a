// The page for addresses that lead nowhere.
import { Anchor, Stack } from '@mantine/core'
import { Link } from '@tanstack/react-router'
import { Page } from '../ui/Page'
import { texts } from '../ui/texts'

export function NotFound() {
  return (
    <Page title={texts.app.notFound}>
      <Stack>
        <Anchor component={Link} to="/">
          {texts.app.home}
        </Anchor>
      </Stack>
    </Page>
  )
}
