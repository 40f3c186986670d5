"""Pretraining BERT, to be read, run and played with: see the notebooks."""

from .examples import Batch, PretrainingExamples, get_tokens_and_segments, load_data_wiki, mask_tokens
from .live import train_bert
from .losses import evaluate, yardsticks
from .model import BERTConfig, BERTModel
from .representation import compare_tokens, cosine_similarity, fill_mask, get_bert_encoding, get_layers
from .training import Recipe, TrainingRun, train_steps, try_all_gpus
from .vocabulary import Vocab, tokenize

__version__ = "0.1.0"
