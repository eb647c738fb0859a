// A template as its form holds it, and as the server takes it: what is left empty is left to the default.
import type { TemplateBody, TemplateView } from '../../api/schema.gen'

type Count = number | ''

export interface Draft {
  name: string
  mtu: Count
  listen_port: Count
  keepalive: Count
  direct_paths: NonNullable<TemplateBody['direct_paths']> | null
  cidr_prefix: Count
  cidr_pool: string
  domain_suffix: string
  dns_upstreams: string[]
}

const EMPTY: Draft = {
  name: '',
  mtu: '',
  listen_port: '',
  keepalive: '',
  direct_paths: null,
  cidr_prefix: '',
  cidr_pool: '',
  domain_suffix: '',
  dns_upstreams: [],
}

export const draftOf = (template: TemplateView | null): Draft =>
  template === null ? EMPTY : { ...EMPTY, ...(template.settings as Partial<Draft>), name: template.name }

const given = (value: Count): number | null => (value === '' ? null : value)

export const bodyOf = (draft: Draft): TemplateBody => ({
  name: draft.name,
  mtu: given(draft.mtu),
  listen_port: given(draft.listen_port),
  keepalive: given(draft.keepalive),
  direct_paths: draft.direct_paths,
  cidr_prefix: given(draft.cidr_prefix),
  cidr_pool: draft.cidr_pool || null,
  domain_suffix: draft.domain_suffix || null,
  dns_upstreams: draft.dns_upstreams.length > 0 ? draft.dns_upstreams : null,
})
