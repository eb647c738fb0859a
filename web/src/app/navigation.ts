// The pages in the menu, in groups.
import { IconNetwork, type TablerIcon } from '@tabler/icons-react'
import { texts } from '../ui/texts'

interface Entry {
  to: string
  label: string
  icon: TablerIcon
}

export const NAVIGATION: readonly { title: string; links: readonly Entry[] }[] = [
  { title: texts.app.mesh, links: [{ to: '/networks', label: texts.pages.networks, icon: IconNetwork }] },
]
