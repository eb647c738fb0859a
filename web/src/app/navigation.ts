// The pages in the menu, in groups.
import { IconAlertTriangle, IconDashboard, IconDevices, IconGridDots, IconNetwork, type TablerIcon } from '@tabler/icons-react'
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
      { to: '/addresses', label: texts.pages.addresses, icon: IconGridDots },
      { to: '/incidents', label: texts.pages.incidents, icon: IconAlertTriangle },
    ],
  },
]
