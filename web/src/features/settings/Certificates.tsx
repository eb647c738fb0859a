// What proves this backend to others: what is in use, until when, and what happens next.
import { Code, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { CertificateView } from '../../api/schema.gen'
import { Ask } from '../../ui/Ask'
import { AskReason } from '../../ui/AskReason'
import { Section } from '../../ui/Facts'
import { Loaded } from '../../ui/Loaded'
import { Rows } from '../../ui/Rows'
import { Failed } from '../../ui/states'
import { texts } from '../../ui/texts'
import { When } from '../../ui/When'
import { certificates, useRenew, useRevokeCertificate, useRoll } from './queries'

const t = texts.settings
const SHORT = 16

export function Certificates() {
  const roll = useRoll()
  return (
    <Section
      title={t.certificates}
      actions={
        <>
          <Ask label={t.renew} title={t.renew} move={useRenew()} given={undefined} isPlain>
            {t.renewSays}
          </Ask>
          <Ask label={t.roll} title={t.roll} move={roll} given="authority">
            {t.rollSays}
          </Ask>
          <Ask label={t.rollKey} title={t.rollKey} move={roll} given="message_key">
            {t.rollSays}
          </Ask>
        </>
      }
    >
      <Loaded of={useQuery(certificates)}>
        {({ items, problem }) => (
          <>
            {problem && <Failed error={{ message: problem }} />}
            <Rows
              label={t.certificates}
              heads={[t.kind, t.use, t.purpose, t.ends, t.next, t.serial, t.revoke]}
              minWidth={900}
              rows={items.map((each) => ({ key: `${each.kind} ${each.id}`, cells: cellsOf(each) }))}
            />
          </>
        )}
      </Loaded>
    </Section>
  )
}

const cellsOf = (each: CertificateView) => [
  t.kinds[each.kind],
  each.use,
  each.purpose,
  <When key="ends" at={each.ends_at} />,
  each.change && (
    <Text key="next" size="sm" component="span">
      {`${each.change} `}
      <When at={each.changes_at} />
    </Text>
  ),
  <Code key="id">{each.id.length > SHORT ? `${each.id.slice(0, SHORT)}…` : each.id}</Code>,
  each.kind === 'leaf' && each.use === 'current' && <Revoke key="revoke" of={each} />,
]

function Revoke({ of: { id } }: { of: CertificateView }) {
  return (
    <AskReason label={t.revoke} title={`${t.revoke}: ${id.slice(0, SHORT)}…`} move={useRevokeCertificate(id)} isRequired>
      {t.revokeSays}
    </AskReason>
  )
}
