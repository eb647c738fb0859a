// The pages in the menu, in groups.
import {
  IconAlertTriangle,
  IconBuildingBridge,
  IconBuildings,
  IconCertificate,
  IconDashboard,
  IconDevices,
  IconGridDots,
  IconHistory,
  IconKey,
  IconNetwork,
  IconPlugConnected,
  IconServer,
  IconSettings,
  IconStethoscope,
  IconTopologyStar3,
  IconUsers,
  IconUserShield,
  IconWorld,
  type TablerIcon,
} from '@tabler/icons-react'
import type { MeView } from '../api/schema.gen'
import { texts } from '../ui/texts'

interface Entry {
  to: string
  label: string
  icon: TablerIcon
  /** The scopes of which one is enough to see the page; none for everybody. */
  scopes?: readonly string[]
}

interface Chapter {
  title: string
  links: readonly Entry[]
  /** It is about no network, so whose role is for some has no part in it. */
  isOfAll?: boolean
}

type Reader = Pick<MeView, 'scopes' | 'networks'>

/** The pages that `reader` may see. */
export const pagesFor = ({ scopes, networks }: Reader): Chapter[] =>
  NAVIGATION.filter((chapter) => networks === null || chapter.isOfAll !== true).map((chapter) => ({
    ...chapter,
    links: chapter.links.filter((link) => link.scopes === undefined || link.scopes.some((each) => scopes.includes(each))),
  }))

export const NAVIGATION: readonly Chapter[] = [
  {
    title: texts.app.mesh,
    links: [
      { to: '/', label: texts.pages.dashboard, icon: IconDashboard },
      { to: '/networks', label: texts.pages.networks, icon: IconNetwork },
      { to: '/peers', label: texts.pages.peers, icon: IconDevices },
      { to: '/topology', label: texts.pages.topology, icon: IconTopologyStar3 },
      { to: '/addresses', label: texts.pages.addresses, icon: IconGridDots },
      { to: '/incidents', label: texts.pages.incidents, icon: IconAlertTriangle },
    ],
  },
  {
    title: texts.app.trust,
    isOfAll: true,
    links: [
      { to: '/remotes', label: texts.pages.remotes, icon: IconBuildings },
      { to: '/bridges', label: texts.pages.bridges, icon: IconBuildingBridge },
      { to: '/services', label: texts.pages.services, icon: IconServer },
      { to: '/grants', label: texts.pages.grants, icon: IconKey },
      { to: '/instances', label: texts.pages.instances, icon: IconCertificate },
      { to: '/findings', label: texts.pages.findings, icon: IconStethoscope },
      { to: '/backend', label: texts.pages.federation, icon: IconWorld },
      { to: '/people', label: texts.pages.people, icon: IconUsers },
    ],
  },
  {
    title: texts.app.system,
    links: [
      { to: '/audit', label: texts.pages.audit, icon: IconHistory, scopes: ['audit', 'admin'] },
      { to: '/accounts', label: texts.pages.accounts, icon: IconUserShield, scopes: ['accounts'] },
      { to: '/tokens', label: texts.pages.tokens, icon: IconPlugConnected },
      { to: '/settings', label: texts.pages.settings, icon: IconSettings },
    ],
  },
]
