// Every page and its address. Pages are loaded when they are first opened.
import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect } from '@tanstack/react-router'
import { isSignedOut, queries } from '../api/queries'
import { session } from '../api/session'
import { filtersIn } from '../features/peers/filters'
import { lookIn } from '../features/topology/look'
import { Setup } from '../features/session/Setup'
import { SignedIn } from '../features/session/SignedIn'
import { SignIn } from '../features/session/SignIn'
import { NotFound } from './NotFound'
import { Shell } from './Shell'

const root = createRootRoute({ notFoundComponent: NotFound })

const signIn = createRoute({
  getParentRoute: () => root,
  path: '/sign-in',
  component: function SignInPage() {
    const navigate = signIn.useNavigate()
    return <SignIn onDone={() => void navigate({ to: '/' })} />
  },
})

const signedIn = createRoute({
  getParentRoute: () => root,
  path: '/signed-in',
  component: function SignedInPage() {
    const navigate = signedIn.useNavigate()
    return <SignedIn onDone={() => void navigate({ to: '/', replace: true })} />
  },
})

const setup = createRoute({
  getParentRoute: () => root,
  path: '/setup',
  component: function SetupPage() {
    const navigate = setup.useNavigate()
    return <Setup onDone={() => void navigate({ to: '/' })} />
  },
})

const inside = createRoute({
  getParentRoute: () => root,
  id: 'inside',
  component: Shell,
  beforeLoad: async () => {
    try {
      await queries.query({ ...session, staleTime: 'static' })
    } catch (error) {
      if (isSignedOut(error)) throw redirect({ to: '/sign-in' })
      throw error
    }
  },
})

const networks = createRoute({
  getParentRoute: () => inside,
  path: '/networks',
  component: lazyRouteComponent(() => import('../features/networks/NetworksPage'), 'NetworksPage'),
})

const network = createRoute({
  getParentRoute: () => inside,
  path: '/networks/$networkId',
  component: lazyRouteComponent(() => import('../features/networks/NetworkPage'), 'NetworkPage'),
})

const peers = createRoute({
  getParentRoute: () => inside,
  path: '/peers',
  validateSearch: filtersIn,
  component: lazyRouteComponent(() => import('../features/peers/PeersPage'), 'PeersPage'),
})

const peer = createRoute({
  getParentRoute: () => inside,
  path: '/peers/$peerId',
  component: lazyRouteComponent(() => import('../features/peers/PeerPage'), 'PeerPage'),
})

const topology = createRoute({
  getParentRoute: () => inside,
  path: '/topology',
  validateSearch: lookIn,
  component: lazyRouteComponent(() => import('../features/topology/TopologyPage'), 'TopologyPage'),
})

const incidents = createRoute({
  getParentRoute: () => inside,
  path: '/incidents',
  component: lazyRouteComponent(() => import('../features/incidents/IncidentsPage'), 'IncidentsPage'),
})

const incident = createRoute({
  getParentRoute: () => inside,
  path: '/incidents/$incidentId',
  component: lazyRouteComponent(() => import('../features/incidents/IncidentPage'), 'IncidentPage'),
})

const addresses = createRoute({
  getParentRoute: () => inside,
  path: '/addresses',
  component: lazyRouteComponent(() => import('../features/addresses/AddressesPage'), 'AddressesPage'),
})

const dashboard = createRoute({
  getParentRoute: () => inside,
  path: '/',
  component: lazyRouteComponent(() => import('../features/dashboard/DashboardPage'), 'DashboardPage'),
})

const federation = createRoute({
  getParentRoute: () => inside,
  path: '/backend',
  component: lazyRouteComponent(() => import('../features/federation/FederationPage'), 'FederationPage'),
})

const remotes = createRoute({
  getParentRoute: () => inside,
  path: '/remotes',
  component: lazyRouteComponent(() => import('../features/remotes/RemotesPage'), 'RemotesPage'),
})

const remote = createRoute({
  getParentRoute: () => inside,
  path: '/remotes/$domain',
  component: lazyRouteComponent(() => import('../features/remotes/RemotePage'), 'RemotePage'),
})

const bridges = createRoute({
  getParentRoute: () => inside,
  path: '/bridges',
  component: lazyRouteComponent(() => import('../features/bridges/BridgesPage'), 'BridgesPage'),
})

const bridge = createRoute({
  getParentRoute: () => inside,
  path: '/bridges/$bridgeId',
  component: lazyRouteComponent(() => import('../features/bridges/BridgePage'), 'BridgePage'),
})

const services = createRoute({
  getParentRoute: () => inside,
  path: '/services',
  component: lazyRouteComponent(() => import('../features/services/ServicesPage'), 'ServicesPage'),
})

const grants = createRoute({
  getParentRoute: () => inside,
  path: '/grants',
  component: lazyRouteComponent(() => import('../features/grants/GrantsPage'), 'GrantsPage'),
})

const grant = createRoute({
  getParentRoute: () => inside,
  path: '/grants/$grantId',
  component: lazyRouteComponent(() => import('../features/grants/GrantPage'), 'GrantPage'),
})

const instances = createRoute({
  getParentRoute: () => inside,
  path: '/instances',
  component: lazyRouteComponent(() => import('../features/instances/InstancesPage'), 'InstancesPage'),
})

const findings = createRoute({
  getParentRoute: () => inside,
  path: '/findings',
  component: lazyRouteComponent(() => import('../features/findings/FindingsPage'), 'FindingsPage'),
})

const audit = createRoute({
  getParentRoute: () => inside,
  path: '/audit',
  component: lazyRouteComponent(() => import('../features/audit/AuditPage'), 'AuditPage'),
})

const people = createRoute({
  getParentRoute: () => inside,
  path: '/people',
  component: lazyRouteComponent(() => import('../features/people/PeoplePage'), 'PeoplePage'),
})

const accounts = createRoute({
  getParentRoute: () => inside,
  path: '/accounts',
  component: lazyRouteComponent(() => import('../features/accounts/AccountsPage'), 'AccountsPage'),
})

const tokens = createRoute({
  getParentRoute: () => inside,
  path: '/tokens',
  component: lazyRouteComponent(() => import('../features/tokens/TokensPage'), 'TokensPage'),
})

const settings = createRoute({
  getParentRoute: () => inside,
  path: '/settings',
  component: lazyRouteComponent(() => import('../features/settings/SettingsPage'), 'SettingsPage'),
})

const MESH = [dashboard, topology, addresses, networks, network, peers, peer, incidents, incident] as const
const TRUST = [federation, remotes, remote, bridges, bridge, services, grants, grant, instances, findings] as const
const SYSTEM = [audit, people, accounts, tokens, settings] as const

export const router = createRouter({
  routeTree: root.addChildren([signIn, signedIn, setup, inside.addChildren([...MESH, ...TRUST, ...SYSTEM])]),
  defaultPreload: 'intent',
  scrollRestoration: true,
})

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router
  }
}
