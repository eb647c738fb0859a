// Every page and its address. Pages are loaded when they are first opened.
import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect } from '@tanstack/react-router'
import { isSignedOut, queries } from '../api/queries'
import { session } from '../api/session'
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

const home = createRoute({
  getParentRoute: () => inside,
  path: '/',
  beforeLoad: () => {
    throw redirect({ to: '/networks' })
  },
})

export const router = createRouter({
  routeTree: root.addChildren([signIn, inside.addChildren([home, networks])]),
  defaultPreload: 'intent',
  scrollRestoration: true,
})

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router
  }
}
