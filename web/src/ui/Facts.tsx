// Names with what they stand for, one below the other; what is not there is left out.
import { Paper, SimpleGrid, Text, Title } from '@mantine/core'
import type { ReactNode } from 'react'

export type Fact = readonly [name: string, value: ReactNode]

const isThere = ([, value]: Fact) => value !== null && value !== undefined && value !== '' && value !== false && !(Array.isArray(value) && value.length === 0)

export function Facts({ facts, isNarrow = false }: { facts: readonly Fact[]; isNarrow?: boolean }) {
  return (
    <SimpleGrid component="dl" cols={isNarrow ? 1 : { base: 1, sm: 2, lg: 3 }} spacing="sm" verticalSpacing="sm" m={0}>
      {facts.filter(isThere).map(([name, value]) => (
        <div key={name}>
          <Text component="dt" size="xs" c="dimmed">
            {name}
          </Text>
          <Text component="dd" size="sm" m={0} className="numbers">
            {value}
          </Text>
        </div>
      ))}
    </SimpleGrid>
  )
}

/** A part of a page under its own heading. */
export function Section({ title, actions, children }: { title: string; actions?: ReactNode; children: ReactNode }) {
  return (
    <Paper withBorder p="md" component="section" aria-label={title}>
      <div className="heading">
        <Title order={2} size="h4">
          {title}
        </Title>
        {actions}
      </div>
      {children}
    </Paper>
  )
}
