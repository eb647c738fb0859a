// Settings that new networks start with, under a name.
import { Button, Group, NumberInput, Select, SimpleGrid, TagsInput, Text, TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { answeredIn } from '../../api/forms'
import type { TemplateView } from '../../api/schema.gen'
import { Ask } from '../../ui/Ask'
import { Section } from '../../ui/Facts'
import { FormModal } from '../../ui/FormModal'
import { Loaded } from '../../ui/Loaded'
import { Rows } from '../../ui/Rows'
import { texts } from '../../ui/texts'
import { useOpened } from '../../ui/useOpened'
import { templates } from '../networks/queries'
import { useDeleteTemplate, useSaveTemplate } from './queries'
import { bodyOf, draftOf } from './template'

const t = texts.settings
const n = texts.networks

export function Templates() {
  const [open, setOpen] = useState<TemplateView | 'new' | null>(null)
  return (
    <Section
      title={t.templates}
      actions={
        <Button variant="default" onClick={() => setOpen('new')}>
          {t.templateCreate}
        </Button>
      }
    >
      <Loaded of={useQuery(templates)} rows={1}>
        {({ items }) =>
          items.length === 0 ? (
            <Text size="sm">{t.noTemplates}</Text>
          ) : (
            <Rows
              label={t.templates}
              heads={[t.template, t.settings, texts.actions.change]}
              rows={items.map((each) => ({
                key: each.id,
                cells: [
                  each.name,
                  Object.entries(each.settings)
                    .map(([name, value]) => `${name} ${JSON.stringify(value)}`)
                    .join(', '),
                  <Actions key="actions" of={each} onChange={() => setOpen(each)} />,
                ],
              }))}
            />
          )
        }
      </Loaded>
      {open !== null && <Save of={open === 'new' ? null : open} onClose={() => setOpen(null)} />}
    </Section>
  )
}

function Actions({ of: { id, name }, onChange }: { of: TemplateView; onChange: () => void }) {
  return (
    <Group gap="xs" wrap="nowrap">
      <Button variant="default" onClick={onChange}>
        {texts.actions.change}
      </Button>
      <Ask label={t.remove} title={`${t.remove}: ${name}`} move={useDeleteTemplate()} given={id}>
        {t.removeSays}
      </Ask>
    </Group>
  )
}

function Save({ of: present, onClose }: { of: TemplateView | null; onClose: () => void }) {
  const template = useOpened(present)
  const save = useSaveTemplate(template)
  const form = useForm({ initialValues: draftOf(template) })
  const submit = form.onSubmit((draft) => save.mutate(bodyOf(draft), answeredIn(form, onClose)))
  return (
    <FormModal
      title={template === null ? t.templateCreate : t.templateChange}
      submit={texts.actions.save}
      isOpen
      isPending={save.isPending}
      error={save.error}
      onClose={onClose}
      onSubmit={submit}
    >
      <TextInput label={t.template} required data-autofocus {...form.getInputProps('name')} />
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <NumberInput label={n.mtu} {...form.getInputProps('mtu')} />
        <NumberInput label={n.port} {...form.getInputProps('listen_port')} />
        <NumberInput label={n.keepalive} {...form.getInputProps('keepalive')} />
        <Select label={n.direct} clearable data={['auto', 'on', 'off']} {...form.getInputProps('direct_paths')} />
        <NumberInput label={t.prefix} min={8} max={30} {...form.getInputProps('cidr_prefix')} />
        <TextInput label={t.pool} placeholder="10.0.0.0/8" {...form.getInputProps('cidr_pool')} />
        <TextInput label={t.suffix} placeholder="internal" {...form.getInputProps('domain_suffix')} />
        <TagsInput label={n.upstreams} {...form.getInputProps('dns_upstreams')} />
      </SimpleGrid>
    </FormModal>
  )
}
