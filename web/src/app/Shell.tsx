// What stands around every page: the way to the others, who is signed in, and whether what is shown is live.
import { ActionIcon, AppShell, Badge, Box, Burger, Group, NavLink, Text, useMantineColorScheme } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { IconLogout, IconSunMoon } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { Link, Outlet, useNavigate, useRouterState } from '@tanstack/react-router'
import { session, useSignOut } from '../api/session'
import { texts } from '../ui/texts'
import { pagesFor } from './navigation'
import { useLive } from './useLive'

const t = texts.app
/** Until it is known who is signed in. */
const NOBODY = { scopes: [], networks: null }
const LINK = { live: 'teal', connecting: 'yellow', lost: 'red', ended: 'red' } as const

export function Shell() {
  const [isOpen, menu] = useDisclosure(false)
  const path = useRouterState({ select: (state) => state.location.pathname })
  const state = useLive()
  const me = useQuery(session).data
  return (
    <AppShell
      header={{ height: 52 }}
      navbar={{ width: 220, breakpoint: 'sm', collapsed: { mobile: !isOpen } }}
      padding="md"
    >
      <AppShell.Header>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group gap="sm" wrap="nowrap">
            <Burger opened={isOpen} onClick={menu.toggle} hiddenFrom="sm" size="sm" aria-label={t.menu} />
            <Text fw={700}>{t.name}</Text>
          </Group>
          <Group gap="xs" wrap="nowrap">
            <Badge color={LINK[state]} variant="light" role="status">
              {state === 'live' ? t.live : state === 'connecting' ? t.connecting : t.lost}
            </Badge>
            <HeaderActions />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="xs" component="nav" aria-label={t.menu} style={{ overflowY: 'auto' }}>
        {pagesFor(me ?? NOBODY).map((group) => (
          <Box key={group.title} mb="sm">
            <Text size="xs" c="dimmed" px="sm" py={4}>
              {group.title}
            </Text>
            {group.links.map(({ to, label, icon: Icon }) => (
              <NavLink
                key={to}
                component={Link}
                to={to}
                label={label}
                leftSection={<Icon size={18} aria-hidden />}
                active={path === to || (to !== '/' && path.startsWith(`${to}/`))}
                onClick={menu.close}
              />
            ))}
          </Box>
        ))}
      </AppShell.Navbar>
      <AppShell.Main>
        <Outlet />
      </AppShell.Main>
    </AppShell>
  )
}

function HeaderActions() {
  const { toggleColorScheme } = useMantineColorScheme()
  const signOut = useSignOut()
  const navigate = useNavigate()
  return (
    <>
      <ActionIcon variant="subtle" color="gray" aria-label={t.dark} onClick={toggleColorScheme}>
        <IconSunMoon size={18} aria-hidden />
      </ActionIcon>
      <ActionIcon
        variant="subtle"
        color="gray"
        aria-label={t.signOut}
        loading={signOut.isPending}
        onClick={() => signOut.mutate(undefined, { onSettled: () => void navigate({ to: '/sign-in' }) })}
      >
        <IconLogout size={18} aria-hidden />
      </ActionIcon>
    </>
  )
}
