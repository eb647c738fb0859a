// Every page and its address. Pages are loaded when they are first opened.
import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect } from '@tanstack/react-router'
import { isSignedOut, queries } from '../api/queries'
import { session } from '../api/session'
import { filtersIn } from '../features/peers/filters'
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

export const router = createRouter({
  routeTree: root.addChildren([signIn, inside.addChildren([dashboard, addresses, networks, network, peers, peer, incidents, incident])]),
  defaultPreload: 'intent',
  scrollRestoration: true,
})

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router
  }
}
