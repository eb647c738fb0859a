// The own account, templates and certificates as the page of settings reads and changes them.
import { queryOptions, useMutation } from '@tanstack/react-query'
import { answered, client, etag } from '../../api/client'
import { queries } from '../../api/queries'
import type { PasswordBody, TemplateBody, TemplatePatch, TemplateView } from '../../api/schema.gen'

export const certificates = queryOptions({
  queryKey: ['federation', 'certificates'],
  queryFn: () => answered(client.GET('/api/v1/certificates')),
})

export const useChangePassword = () =>
  useMutation({ mutationFn: (body: PasswordBody) => answered(client.PUT('/api/v1/auth/password', { body })) })

const templatesRead = { onSettled: () => queries.invalidateQueries({ queryKey: ['templates'] }) }

export const useSaveTemplate = (of: TemplateView | null) =>
  useMutation({
    mutationFn: (body: TemplateBody & TemplatePatch) =>
      of === null
        ? answered(client.POST('/api/v1/network-templates', { body }))
        : answered(
            client.PATCH('/api/v1/network-templates/{template_id}', {
              params: { path: { template_id: of.id }, header: { 'if-match': etag(of.version) } },
              body,
            }),
          ),
    ...templatesRead,
  })

export const useDeleteTemplate = () =>
  useMutation({
    mutationFn: (id: string) =>
      answered(client.DELETE('/api/v1/network-templates/{template_id}', { params: { path: { template_id: id } } })),
    ...templatesRead,
  })

const certificatesRead = { onSettled: () => queries.invalidateQueries({ queryKey: ['federation'] }) }

export const useRenew = () =>
  useMutation({ mutationFn: () => answered(client.POST('/api/v1/certificates/renew')), ...certificatesRead })

export const useRoll = () =>
  useMutation({
    mutationFn: (what: 'authority' | 'message_key') => answered(client.POST('/api/v1/certificates/roll', { body: { what } })),
    ...certificatesRead,
  })

export const useRevokeCertificate = (serial: string) =>
  useMutation({
    mutationFn: (reason: string) =>
      answered(client.POST('/api/v1/certificates/{serial}/revoke', { params: { path: { serial } }, body: { reason } })),
    ...certificatesRead,
  })
