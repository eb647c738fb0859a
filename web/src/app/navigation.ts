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
  IconWorld,
  type TablerIcon,
} from '@tabler/icons-react'
import { texts } from '../ui/texts'

interface Entry {
  to: string
  label: string
  icon: TablerIcon
}

export const NAVIGATION: readonly { title: string; links: readonly Entry[] }[] = [
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
      { to: '/audit', label: texts.pages.audit, icon: IconHistory },
      { to: '/tokens', label: texts.pages.tokens, icon: IconPlugConnected },
      { to: '/settings', label: texts.pages.settings, icon: IconSettings },
    ],
  },
]
