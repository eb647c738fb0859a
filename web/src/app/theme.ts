// Colours, fonts and defaults of the component kit.
import { createTheme, type MantineThemeOverride } from '@mantine/core'

export const theme: MantineThemeOverride = createTheme({
  primaryColor: 'teal',
  primaryShade: { light: 9, dark: 7 },
  fontFamily: "'Inter Variable', system-ui, sans-serif",
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, Consolas, monospace',
  defaultRadius: 'md',
  autoContrast: true,
  components: {
    Tooltip: { defaultProps: { withArrow: true, openDelay: 300 } },
    // To keep the page from scrolling below a dialog, the kit would add a style without the nonce.
    Modal: { defaultProps: { centered: true, lockScroll: false, overlayProps: { backgroundOpacity: 0.5 } } },
    Table: { defaultProps: { verticalSpacing: 'xs', highlightOnHover: true } },
  },
})

/** The nonce that the server has put into this page, for styles that the kit makes while it runs. */
export const styleNonce = (): string =>
  document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? ''
