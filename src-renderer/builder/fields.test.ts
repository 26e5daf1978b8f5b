// @vitest-environment happy-dom
// Fields follow the description of their option; cards, searches and summaries read as they should.
import { mount } from '@vue/test-utils';
import { createPinia } from 'pinia';
import { describe, expect, it } from 'vitest';
import type { BlockCard } from '../../src-main/spec/card';
import { bool, choice, int, interval, list, type Option } from '../../src-main/spec/options';
import { i18n } from '../i18n';
import { localised } from '../stores/words';
import Markdown from '../ui/Markdown.vue';
import OptionField from './OptionField.vue';
import { labelOf, parseNumbers, stepOf } from './options';
import { paperLink } from './paper';
import { findBlocks } from './search';
import { changedOptions } from './summary';

const field = (option: Option, value?: unknown) =>
  mount(OptionField, { props: { name: 'heads', option, value }, global: { plugins: [i18n, createPinia()] } });

describe('option field', () => {
  it('shows the default, without a mark, and resets what was changed', async () => {
    const untouched = field(int(4, { help: 'Heads.' }));
    expect(untouched.find('input').element.value).toBe('4');
    expect(untouched.find('.changed').exists()).toBe(false);
    expect(untouched.find('[data-testid="reset-heads"]').exists()).toBe(false);
    const changed = field(int(4, { help: 'Heads.' }), 8);
    expect(changed.find('input').element.value).toBe('8');
    expect(changed.find('.changed').exists()).toBe(true);
    await changed.find('[data-testid="reset-heads"]').trigger('click');
    expect(changed.emitted('set')).toEqual([[undefined]]);
  });

  it('lets a number out of range through, so that its problem can be shown', async () => {
    const wrapper = field(int(4, { min: 1, max: 64, help: 'Heads.' }));
    await wrapper.find('input').setValue('100');
    expect(wrapper.emitted('set')?.at(-1)).toEqual([100]);
  });

  it('draws the control of each kind', () => {
    expect(
      field(bool(true, { help: '' }))
        .find('[role="switch"]')
        .exists(),
    ).toBe(true);
    expect(
      field(choice('a', { choices: ['a', 'b'], help: '' }))
        .find('.n-select')
        .exists(),
    ).toBe(true);
    expect(field(interval(null, { min: 0, max: 1, help: '' })).findAll('input')).toHaveLength(0);
    expect(field(interval(null, { min: 0, max: 1, help: '' }), [0, 0.5]).findAll('input')).toHaveLength(2);
  });

  it('reads a list, and says what is none without touching the value', async () => {
    const wrapper = field(list([4, 8], { min: 1, max: 64, maxItems: 4, help: '' }));
    await wrapper.find('input').setValue('4, 16 32');
    expect(wrapper.emitted('set')).toEqual([[[4, 16, 32]]]);
    await wrapper.find('input').setValue('4, x');
    expect(wrapper.emitted('set')).toHaveLength(1);
    expect(wrapper.text()).toContain('“4, x” is not a list of numbers');
  });
});

describe('helpers of the builder', () => {
  it('parse numbers and choose steps', () => {
    expect(parseNumbers('1, 2;3')).toEqual([1, 2, 3]);
    expect(parseNumbers('1, two')).toBeNull();
    expect(stepOf(int(64, { step: 16, help: '' }), 64)).toBe(16);
    expect(stepOf({ kind: 'float', default: 0.02, min: 0, max: 1, help: '' }, 0.02)).toBeCloseTo(0.001);
  });

  it('link papers by address or arXiv id, and nothing else', () => {
    expect(paperLink('2405.21060')).toBe('https://arxiv.org/abs/2405.21060');
    expect(paperLink('https://arxiv.org/abs/1706.03762')).toBe('https://arxiv.org/abs/1706.03762');
    expect(paperLink('javascript:alert(1)')).toBeUndefined();
    expect(paperLink(undefined)).toBeUndefined();
  });

  it('find blocks by all words, titles first, and never operators', () => {
    const card = (id: string, title: string, summary: string, role: BlockCard['role'] = 'mixer'): BlockCard => ({
      id,
      title,
      summary,
      role,
      text: '',
      options: {},
    });
    const cards = [
      card('x', 'Gated MLP', 'After attention.', 'channel'),
      card('softmax_attention', 'Attention', 'Reads tokens.'),
      card('ssd_scan', 'Attention scan', '', 'operator'),
    ];
    expect(findBlocks(cards, 'atten').map(({ id }) => id)).toEqual(['softmax_attention', 'x']);
    expect(findBlocks(cards, 'attention tokens').map(({ id }) => id)).toEqual(['softmax_attention']);
    expect(findBlocks(cards, '')).toHaveLength(2);
  });

  it('find blocks in both languages, whichever is shown', () => {
    const english: BlockCard = {
      id: 'x',
      role: 'mixer',
      title: 'Attention',
      summary: 'Reads tokens.',
      text: '',
      options: {},
      translations: { ru: { title: 'Внимание', summary: 'Читает токены.', text: '', options: {} } },
    };
    for (const card of [english, localised(english, 'ru')])
      for (const query of ['внимание', 'токены', 'attention', 'reads внимание'])
        expect(findBlocks([card], query), `${card.title}: ${query}`).toEqual([card]);
    expect(findBlocks([localised(english, 'ru')], 'память')).toEqual([]);
  });

  it('call an option by its title, else by its name in words', () => {
    expect(labelOf('normBeforeGate', bool(false, { help: '' }))).toBe('norm before gate');
    expect(labelOf('kvHeads', int(1, { title: 'KV heads', help: '' }))).toBe('KV heads');
    expect(labelOf('unknownOne')).toBe('unknown one');
  });

  it('sum up only what differs from the defaults', () => {
    const options = { heads: int(4, { help: '' }), dim: int(32, { help: '' }) };
    const card: BlockCard = { id: 'a', role: 'mixer', title: 'A', summary: '', text: '', options };
    expect(changedOptions({ block: 'a', options: { dim: 64, heads: 4 } }, card)).toEqual([{ name: 'dim', value: 64 }]);
  });
});

describe('card text', () => {
  it('shows HTML as text, opens links outside, and fetches no pictures', () => {
    const text =
      '# Title\n\n<script>alert(1)</script> [link](https://a.example) ![p](https://b.example/x.png) [bad](javascript:alert(1))';
    const html = mount(Markdown, { props: { text } }).html();
    expect(html).not.toContain('<script');
    expect(html).not.toContain('<img');
    expect(html).not.toContain('href="javascript');
    expect(html).toContain('rel="noopener noreferrer"');
  });
});
