// A few values as a line without axes, for how something went.
interface Props {
  values: readonly number[]
  label: string
}

const WIDTH = 240
const HEIGHT = 40
const EDGE = 2

export function Sparkline({ values, label }: Props) {
  const most = Math.max(1, ...values)
  const step = WIDTH / Math.max(1, values.length - 1)
  const points = values.map((value, index) => `${index * step},${HEIGHT - EDGE - (value / most) * (HEIGHT - 2 * EDGE)}`)
  return (
    <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} width="100%" height={HEIGHT} preserveAspectRatio="none" role="img" aria-label={label}>
      <polyline points={points.join(' ')} fill="none" stroke="var(--mantine-color-teal-6)" strokeWidth={2} vectorEffect="non-scaling-stroke" />
    </svg>
  )
}
