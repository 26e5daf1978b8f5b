// Sentences of main in Russian, by their English patterns. `$1` is a captured part as it came, `{1}` one that is itself put into Russian.
import { russianOfTheLab } from './said.ru.lab';

export const russian: readonly (readonly [RegExp, string])[] = [
  // What an option or a field of a spec admits.
  [/^(.+) does not fit: it wants (.+)$/, '$1 не подходит: нужно {2}'],
  [/^is missing: it wants (.+)$/, 'не указано: нужно {1}'],
  [/^a whole number from (\S+) to (\S+)$/, 'целое число от $1 до $2'],
  [/^a whole number from (\S+) to (\S+) in steps of (\S+)$/, 'целое число от $1 до $2 с шагом $3'],
  [/^a number from (\S+) to (\S+)$/, 'число от $1 до $2'],
  [
    /^null or two numbers \[low, high\] from (\S+) to (\S+), low below high$/,
    'null или два числа [низ, верх] от $1 до $2, низ меньше верха',
  ],
  [/^text of at most (\S+) characters$/, 'текст не длиннее $1 знаков'],
  [/^a list of 1 to (\S+) numbers from (\S+) to (\S+)$/, 'список от 1 до $1 чисел от $2 до $3'],
  [/^true or false$/, 'true или false'],
  [/^one of (.+)$/, 'одно из: $1'],
  [/^a whole number$/, 'целое число'],
  [/^an? (number|string|boolean|object|array)$/, 'значение типа $1'],
  [/^at least (.+)$/, 'не меньше {1}'],
  [/^at most (.+)$/, 'не больше {1}'],
  [/^more than (.+)$/, 'больше {1}'],
  [/^less than (.+)$/, 'меньше {1}'],
  [/^(\S+) (?:entry|entries)$/, '$1 (число элементов)'],
  [/^(\S+) characters?$/, '$1 (число знаков)'],
  [/^the default is (.+)$/, 'по умолчанию $1'],
  [/^unknown key$/, 'неизвестный ключ'],
  [/^unknown option; known are (.+)$/, 'неизвестный параметр; известны $1'],
  [/^unknown (block|task) (\S+); known are (.+)$/, '{1} $2: такого нет; известны $3'],
  [/^block$/, 'блок'],
  [/^task$/, 'задача'],
  [/^did you mean (.+)\?$/, 'может быть, $1?'],
  [/^remove it or correct its name$/, 'уберите его или исправьте имя'],
  [/^remove it$/, 'уберите его'],

  // Models.
  [/^the stack is empty$/, 'стопка пуста'],
  [/^add a block from the palette$/, 'добавьте блок из палитры'],
  [
    /^(\d+) blocks once repeats are multiplied out; at most (\d+) fit$/,
    'с учётом повторов блоков $1; помещается не больше $2',
  ],
  [
    /^(\S+) looks at later tokens here, and a model that predicts the next token must not$/,
    '$1 здесь смотрит на последующие токены, а модели, которая предсказывает следующий токен, этого нельзя',
  ],
  [
    /^set causal to true, or train the model to fill in masked tokens$/,
    'включите causal или обучайте модель заполнять скрытые токены',
  ],
  [
    /^take a causal block instead, or train the model to fill in masked tokens$/,
    'возьмите каузальный блок или обучайте модель заполнять скрытые токены',
  ],
  [/^(\d+) heads do not divide the width (\d+)$/, 'ширина $2 не делится на число голов $1'],
  [
    /^(\d+) heads do not divide the width (\d+), and (\S+) 0 asks for (.+)$/,
    'ширина $2 не делится на число голов $1, а $3 0 требует $4',
  ],
  [/^(\d+) .+ do not divide (\d+) query heads$/, 'число голов запросов $2 не делится на $1'],
  [/^(\d+) groups do not divide the (\d+) heads .*$/, 'число голов $2 не делится на число групп $1'],
  [
    /^(\d+) groups \(B's third axis\) do not divide the (\d+) heads \(that of x\)$/,
    'число голов $2 (третья ось x) не делится на число групп $1 (третья ось B)',
  ],
  [
    /^heads of (\d+) channels do not divide the inner width (.+)$/,
    'внутренняя ширина $2 не делится на ширину головы $1',
  ],
  [
    /^a centred convolution wants an odd number of taps, not (\d+)$/,
    'симметричной свёртке нужно нечётное число отводов, а не $1',
  ],
  [
    /^rotary positions turn pairs of channels, so they want an even head width, not (\d+)$/,
    'RoPE поворачивает пары каналов, поэтому ширина головы должна быть чётной, а не $1',
  ],
  [/^ALiBi takes the place of rotary positions, and both are on$/, 'ALiBi заменяет RoPE, а включены оба'],
  [
    /^(\d+) tokens do not fit a learned table of (\d+) positions$/,
    'токенов $1, а обучаемая таблица позиций рассчитана на $2',
  ],
  [
    /^give shorter sequences, or take rotary or sinusoidal positions$/,
    'возьмите последовательности короче или позиции RoPE либо синусоидальные',
  ],
  [/^try (-?[\d.e-]+)$/, 'попробуйте $1'],
  [/^try (\d+), or (\w+) (\S+)$/, 'попробуйте $1 или $2 $3'],
  [/^try (\d+) heads, or set (\S+)$/, 'попробуйте число голов $1 или задайте $2'],

  // Runs and tasks.
  [/^(\d+) parts do not divide a batch of (\d+)$/, 'пакет из $2 не делится на $1 частей'],
  [/^choose a divisor of the batch size$/, 'возьмите делитель размера пакета'],
  [
    /^(\d+) steps of warm-up are longer than the run of (\d+)$/,
    'шагов разогрева $1, это больше, чем во всём запуске ($2)',
  ],
  [
    /^training wants at least (.+) of memory \((.+) for weights, gradients and optimiser, (.+) for the activations of a batch\), and this machine has (.+)$/,
    'обучению нужно не меньше $1 памяти ($2 на веса, градиенты и оптимизатор, $3 на активации пакета), а на этой машине её $4',
  ],
  [/^take a smaller width or fewer layers$/, 'возьмите ширину меньше или слоёв поменьше'],
  [/^take a smaller batch.*$/, 'возьмите пакет поменьше, больше частей или последовательности короче'],
  [
    /^masked hides tokens of a text, and the task (\S+) asks questions of its own$/,
    'скрывать токены можно в тексте, а задача $1 задаёт свои вопросы',
  ],
  [/^take next_token, or a text$/, 'возьмите следующий токен или текст'],
  [
    /^there is no text (\S+): neither bundled \((.+)\) nor added to this lab$/,
    'текста $1 нет: ни среди встроенных ($2), ни среди добавленных',
  ],
  [/^choose another text, or add it again$/, 'выберите другой текст или добавьте этот снова'],
  [/^(.+) is not there$/, '$1 не найден'],
  [/^check the path$/, 'проверьте путь'],
  [/^take a file with text in it; a megabyte is a good start$/, 'возьмите файл с текстом; для начала хватит мегабайта'],
  [/^(.+) has zero bytes$/, '$1 пуст'],
  [
    /^the text has (\d+) (\w+), of which (\d+) train and (\d+) validate; a window of (\d+) tokens and the one to predict wants (\d+) in each part$/,
    'в тексте $1 токенов: $3 на обучение и $4 на проверку; окну из $5 токенов и предсказываемому за ним нужно по $6 в каждой части',
  ],
  [
    /^take a longer text, or a context length \(tokens\) of at most (\d+)$/,
    'возьмите текст длиннее или контекст не больше $1',
  ],

  // How runs stand and why they ended.
  [/^All (\d+) steps are done\.$/, 'Все шаги ($1) сделаны.'],
  [/^The budget of (\d+) tokens is used up\.$/, 'Отведённые токены ($1) израсходованы.'],
  [/^The budget of (\S+) seconds is used up\.$/, 'Отведённое время ($1 с) вышло.'],
  [/^The validation accuracy reached (\S+): it is (\S+)\.$/, 'Точность на проверке достигла $1: сейчас $2.'],
  [/^The validation loss reached (\S+): it is (\S+)\.$/, 'Потери на проверке опустились до $1: сейчас $2.'],
  [
    /^The loss of step (\d+) is (\S+), that of step (\d+) was (\S+): the model unlearns\. Try a lower learning rate \(now (\S+) at the peak; try (\S+)\), or a longer warm-up \(now (\d+) steps\)\.$/,
    'Потери на шаге $1 — $2, на шаге $3 были $4: модель разучивается. Попробуйте меньшую скорость обучения (сейчас $5 в пике; попробуйте $6) или более длинный разогрев (сейчас шагов: $7).',
  ],
  [/^Stopped on request\.$/, 'Остановлен по просьбе.'],
  [/^The lab that looked after this run went away\.$/, 'Лаборатория, которая вела этот запуск, закрылась.'],
  [/^The lab went away\.$/, 'Лаборатория закрылась.'],
  [/^Taken out of the queue before it (started|went on)\.$/, 'Снят с очереди до начала работы.'],
  [
    /^Its worker is gone: the lab or the machine went down while it trained\. Resume goes on from its newest checkpoint\.$/,
    'Процесс запуска пропал: лаборатория или машина выключилась во время обучения. Возобновление продолжит с последней контрольной точки.',
  ],
  [/^The worker crashed with (\w+)\.(.*)$/s, 'Процесс запуска упал с $1.$2'],
  [/^The worker was ended by (\w+) from outside\.(.*)$/s, 'Процесс запуска завершён извне сигналом $1.$2'],
  [
    /^Training broke down at step (\d+): (.+?)\. Try (.+)\. The weights before it are in the newest checkpoint\.$/,
    'Обучение сорвалось на шаге $1: {2}. Попробуйте меньшую скорость обучения, более длинный разогрев или меньший предел градиента. Веса до этого шага лежат в последней контрольной точке.',
  ],
  [/^the loss is (\S+)$/, 'потери — $1'],
  [/^the gradient norm is (\S+)$/, 'норма градиента — $1'],
  [
    /^(.+) stays paused: (\d+) runs? (?:is|are) at work already, the most at once\. .*$/,
    '$1 остаётся на паузе: работает уже столько запусков, сколько можно сразу ($2). Приостановите или дождитесь одного из них, или поднимите этот предел на странице «Устройство».',
  ],
  [
    /^(.+) is in the trash: bring it back first, then resume it\.$/,
    '$1 в корзине: сначала верните его, потом возобновляйте.',
  ],
  [/^(.+) is (\w+): there is nothing to resume\.$/, '$1: возобновлять нечего.'],
  [
    /^The disk took no events to the end, so the newest are lost\. Free some space, then resume: it goes on from its newest checkpoint\.$/,
    'Диск до конца не принимал записей, поэтому последние потеряны. Освободите место и возобновите запуск: он продолжит с последней контрольной точки.',
  ],
  [
    /^The disk takes no events of the run since step (\d+)\. Free some space in (.+): until then they wait in memory, and the numbers shown stand still\.$/,
    'С шага $1 диск не принимает записей запуска. Освободите место в $2: до тех пор они ждут в памяти, а числа на экране стоят.',
  ],
  [/^There is no room left on the disk.*$/s, 'На диске нет места. Освободите его; запуски ждут.'],
  [
    /^The device did not answer within (\S+) s; its driver may hang\.$/,
    'Устройство не ответило за $1 с; возможно, завис его драйвер.',
  ],
  [/^The device did not finish a case within (\S+) s\.$/, 'Устройство не закончило случай за $1 с.'],
  [/^There was no answer within (\S+) s; try a smaller model\.$/, 'Ответа не было $1 с; попробуйте модель поменьше.'],
  [
    /^a comparison is at work already; wait for its end, or cancel it$/,
    'сравнение уже идёт; дождитесь его конца или отмените его',
  ],
  ...russianOfTheLab,
];
