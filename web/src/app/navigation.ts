// The pages in the menu, in groups.
import { IconAlertTriangle, IconDevices, IconNetwork, type TablerIcon } from '@tabler/icons-react'
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
      { to: '/networks', label: texts.pages.networks, icon: IconNetwork },
      { to: '/peers', label: texts.pages.peers, icon: IconDevices },
      { to: '/incidents', label: texts.pages.incidents, icon: IconAlertTriangle },
    ],
  },
]
